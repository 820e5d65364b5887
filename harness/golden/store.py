"""A golden and its file.

The file is JSON, indented and with sorted keys so that a review sees what changed::

    format      "voxtral-parity golden", always
    version     3
    key         checkpoint, method, precision, regime: the file's own place
    statistics  a WaveformStatistics, field by field
    codes       one list of n_codebooks codes for each frame
    inputs      sha256 of what was spoken from: checkpoint, voice
    reason      why it was blessed; earlier reasons are in version control
    date        of the run
    versions    package to version, of whatever computed
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness.arrays import Array
from harness.budget.regimes import NAMES
from harness.compare.sound import WaveformStatistics
from harness.errors import InputError, brief, in_a_sentence
from harness.files import read_json, replace_file
from harness.values import decode, encode

__all__ = [
    "EXTERNAL",
    "OUTPUTS",
    "PINNED",
    "Codes",
    "Golden",
    "GoldenKey",
    "as_codes",
    "check_part",
    "default_root",
    "is_name",
    "list_goldens",
    "read",
    "read_at",
    "unusable",
    "unused",
    "write",
]

Codes = tuple[tuple[int, ...], ...]
"""One row of n_codebooks codes for each frame."""

EXTERNAL = "external"
"""The folder below the goldens whose files are not blessed: published figures."""

OUTPUTS = "outputs"
"""The folder below the goldens that holds what programs compute; see `harness.golden.pins`."""

PINNED = "pinned"
"""The folder below the goldens that holds what eager computes; see `harness.golden.pins`."""

_FORMAT, _VERSION = "voxtral-parity golden", 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_name(text: str) -> bool:
    """Whether `text` can be a part of a golden's key."""
    return _NAME.fullmatch(text) is not None


def check_part(name: str, value: object) -> None:
    """Refuse, by an `InputError`, what cannot be the part `name` of a golden's key."""
    if not isinstance(value, str) or not is_name(value):
        raise InputError(
            f"golden key: {name} must be letters, digits, '.', '_' or '-', "
            f"beginning with a letter or digit (got {brief(value)})"
        )


@dataclass(frozen=True, order=True)
class GoldenKey:
    """Which golden: each part is a directory's name, the last (`regime`) a file's.

    `regime` is that of the arithmetic that made it, one of `harness.budget.regimes.NAMES`.
    """

    checkpoint: str
    method: str
    precision: str
    regime: str

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            check_part(name, value)

    def __str__(self) -> str:
        return f"{self.checkpoint}/{self.method}/{self.precision}/{self.regime}"

    def path(self, root: Path) -> Path:
        """Where this golden lives below `root`."""
        return root / self.checkpoint / self.method / self.precision / f"{self.regime}.json"


@dataclass(frozen=True)
class Golden:
    """What is kept of a run, and what a run is compared with.

    Attributes
    ----------
    statistics, codes
        Of the waveform, and what it was made from.
    inputs
        Name to sha256 in hex of what was spoken from: ``checkpoint``, ``voice``.
    reason
        Why it was blessed; this and what follows are empty for a run that is only compared.
    date
        ISO date of the run, e.g. ``"2026-08-01"``.
    versions
        Package name to version, of whatever computes.
    """

    key: GoldenKey
    statistics: WaveformStatistics
    codes: Codes
    inputs: Mapping[str, str]
    reason: str = ""
    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def default_root() -> Path:
    """``golden/`` beside the `harness` package in a source checkout, else in the cwd."""
    checkout = Path(harness.__file__).resolve().parent.parent
    root = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    if not (root / "golden").is_dir():
        raise InputError(
            f"no directory golden/ in {root}: run from a checkout of voxtral-parity, "
            "or name the goldens' directory"
        )
    return root / "golden"


def as_codes(codes: Array) -> Codes:
    """Rows of codes, one for each frame, from an int array (n_codebooks, frames)."""
    array = np.asarray(codes)
    if array.ndim != 2 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"codes must be integers (n_codebooks, frames) (got {array.dtype} {array.shape})"
        )
    return tuple(tuple(int(code) for code in frame) for frame in array.T)


def read(root: Path, key: GoldenKey) -> Golden | None:
    """The golden of `key`, None if there is none; `InputError` if its file is damaged."""
    return read_at(key.path(root), key)


def read_at(path: Path, key: GoldenKey) -> Golden | None:
    """The golden of `key` in a file, which may be one that waits; as `read`."""
    if not path.exists():
        return None
    try:
        golden = _decode(read_json(path, "golden"))
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(
            f"golden {key} is damaged ({in_a_sentence(error)}); restore it from version control"
        ) from None
    if golden.key != key:
        raise InputError(f"golden {path} is of {golden.key}, not of its own place {key}; move it")
    return golden


def write(path: Path, golden: Golden) -> None:
    """Write `golden` to a file, whole or not at all: its place, or where it waits for that."""
    data = {"format": _FORMAT, "version": _VERSION, **encode(golden)}
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
    # One frame a line: the codes are half the file, and a review counts frames.
    text = re.sub(r"\[[\s\d,-]+\]", lambda row: re.sub(r"\s+", "", row[0]), text)
    with replace_file(path) as scratch:
        scratch.write_text(text + "\n", encoding="utf-8")


def list_goldens(root: Path) -> list[GoldenKey]:
    """Keys of all goldens below `root`, sorted."""
    paths = (path.relative_to(root).with_suffix("") for path in root.glob("*/*/*/*.json"))
    return sorted(GoldenKey(*path.parts) for path in paths if path.parts[0] != OUTPUTS)


def unused(
    root: Path,
    methods: tuple[str, ...],
    precisions: tuple[str, ...],
    pinned: tuple[str, ...] = (),
    computed: tuple[str, ...] = (),
) -> list[Path]:
    """The JSON files below `root` that no run reads, sorted.

    A run reads the goldens of its checkpoint in one of `precisions`, of `methods`, in one of
    the regimes of arithmetic; published figures are in `EXTERNAL`, what eager computes in the
    precisions `pinned` in `PINNED`, and what programs compute in the precisions `computed` in
    `OUTPUTS`.
    """
    found = []
    for path in root.rglob("*.json"):
        match path.relative_to(root).with_suffix("").parts:
            case (folder, _) if folder == EXTERNAL:
                continue
            case (folder, name) if folder == PINNED and name.partition("-")[2] in pinned:
                continue
            case (folder, _, precision, regime) if folder == OUTPUTS:
                if precision in computed and regime in NAMES:
                    continue
            case (_, method, precision, regime) if (
                method in methods and precision in precisions and regime in NAMES
            ):
                continue
        found.append(path)
    return sorted(found)


def unusable(statistics: WaveformStatistics) -> str:
    """Which statistic is not finite (silence has none worth keeping); empty: none."""
    for name, value in dataclasses.asdict(statistics).items():
        if not isinstance(value, str) and not np.isfinite(value).all():
            return f"{name} is {brief(value)}"
    return ""


def _decode(data: dict[str, Any]) -> Golden:
    form = (data.pop("format"), data.pop("version"))
    if form != (_FORMAT, _VERSION):
        found = f"{brief(form[0])} version {brief(form[1])}"
        raise ValueError(f"expected format {_FORMAT!r} version {_VERSION}, got {found}")
    golden: Golden = decode(data, Golden)
    as_codes(np.array(golden.codes).T)
    datetime.date.fromisoformat(golden.date)
    fault = unusable(golden.statistics) or ("" if golden.reason else "it has no reason")
    if fault:
        raise ValueError(fault)
    return golden
