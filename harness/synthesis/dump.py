"""Codes as text, one frame a line, in the form of upstream's runner.

A line is ``frame=0 sem=315 codes=315,18,22,…``.

The runner writes such a file where the environment variable ``VOXTRAL_DUMP_CODES`` says, in its
offline mode.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, brief
from harness.files import read_file, replace_file

__all__ = ["DUMP_VARIABLE", "read_codes", "write_codes"]

DUMP_VARIABLE = "VOXTRAL_DUMP_CODES"

_LINE = re.compile(r"frame=(\d{1,9}) sem=(\d{1,9}) codes=(\d{1,9}(?:,\d{1,9})*)")


def write_codes(path: Path, codes: NDArray[np.int64]) -> None:
    """Write `codes`, shape (n_codebooks, frames), by `replace_file`."""
    lines = [
        f"frame={frame} sem={row[0]} codes={','.join(map(str, row))}\n"
        for frame, row in enumerate(codes.T.tolist())
    ]
    with replace_file(path) as scratch:
        scratch.write_text("".join(lines), encoding="ascii")


def read_codes(path: Path) -> NDArray[np.int64]:
    """Codes of a dump, shape (n_codebooks, frames).

    Raises
    ------
    InputError
        The file is missing or empty, a line is of another form, or frames are missing.
    """
    lines = read_file(path, "codes").decode("ascii", "replace").splitlines()
    rows: list[list[int]] = []
    for number, line in enumerate(lines):
        found = _LINE.fullmatch(line)
        row = [int(code) for code in found[3].split(",")] if found else []
        if found is None or int(found[1]) != number or int(found[2]) != row[0]:
            raise InputError(
                f"{path.name}, line {number + 1}: expected frame={number} sem=… codes=…, "
                f"got {brief(line)}"
            )
        if len(row) != len(rows[0] if rows else row):
            raise InputError(
                f"{path.name}, line {number + 1}: {len(row)} codes, {len(rows[0])} before it"
            )
        rows.append(row)
    if not rows:
        raise InputError(f"{path.name} holds no codes")
    return np.array(rows, np.int64).T
