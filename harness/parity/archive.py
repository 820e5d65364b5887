"""Any value of the line as one file, and back: a safetensors file, nothing pickled.

The file's metadata ``index`` is the value as JSON, with the name of a tensor in the place of each
array (`harness.values`); ``sha256`` is of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

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
    kept = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with replace_file(path) as scratch:
        save_file(kept, scratch, {"index": index, "sha256": _digest(index, kept)})


def load(path: Path, kind: type[T]) -> T:
    """Read what `save` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds no `kind`.
    """
    try:
        with safe_open(path, "np") as file:
            told = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if _digest(told["index"], arrays) != told["sha256"]:
                raise ValueError("its content changed since it was written")
            value: T = decode(json.loads(told["index"]), kind, arrays.__getitem__)
            return value
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError,
        SafetensorError,
    ) as error:  # fmt: skip
        reason = in_a_sentence(error)
        raise InputError(f"{path.name} holds no {kind.__name__}: {reason}") from error


def _digest(index: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(index.encode())
    for name in sorted(arrays):
        digest.update(arrays[name].data if arrays[name].size else b"")
    return digest.hexdigest()
