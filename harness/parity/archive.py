"""Any value of the line as one file, and back: numpy arrays without pickles, and JSON.

A file is an npz archive. Its member ``index`` is the value as JSON, with the name of a member in
the place of each array (`harness.values`).
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.arrays import Array
from harness.errors import InputError, in_a_sentence
from harness.files import replace_file
from harness.values import decode, encode

__all__ = ["load", "save"]

T = TypeVar("T")


def save(path: Path, value: Any) -> None:
    """Write a dataclass to `path`, whole or not at all; see `harness.values.encode`."""
    arrays: dict[str, Array] = {}
    index = json.dumps(encode(value, arrays), allow_nan=False)
    with replace_file(path) as scratch, scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, index=np.array(index), **arrays)


def load(path: Path, kind: type[T]) -> T:
    """Read what `save` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds no `kind`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            value: T = decode(json.loads(str(file["index"])), kind, file)
            return value
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
        RecursionError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        reason = in_a_sentence(error)
        raise InputError(f"{path.name} holds no {kind.__name__}: {reason}") from error
