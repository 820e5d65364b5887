"""Any value of the line as one file, and back: numpy arrays without pickles, and JSON.

A file is an npz archive. Its member ``index`` is the value as JSON, with the name of a member in
the place of each array; types are read off the dataclasses' annotations, so that nothing in a
file says what to build.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import types
import typing
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.arrays import from_bits, to_bits
from harness.errors import InputError
from harness.files import replace_file

__all__ = ["load", "save"]

T = TypeVar("T")


def save(path: Path, value: Any) -> None:
    """Write a dataclass to `path`, whole or not at all.

    Its fields are dataclasses, arrays, numbers, strings, enums, None, paths (of which the last
    part is kept), and tuples and mappings of these.
    """
    arrays: dict[str, np.ndarray] = {}
    index = json.dumps(_encode(value, arrays), allow_nan=False)
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
            index = json.loads(str(file["index"]))
            value: T = _decode(index, kind, file)
            return value
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
        RecursionError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path.name} holds no {kind.__name__}: {reason}") from error


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = to_bits(value)
        return [name, value.dtype.name]
    if dataclasses.is_dataclass(value):
        return {
            field.name: _encode(getattr(value, field.name), arrays)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _encode(entry, arrays) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(entry, arrays) for entry in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return value.name
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a file of the line cannot carry a {type(value).__name__}")


def _decode(data: Any, kind: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        kinds = [one for one in arguments if one is not types.NoneType]
        return _decode(data, kinds[0], arrays) if len(kinds) == 1 else data  # plain JSON values
    if origin is np.ndarray:
        name, dtype = data
        return from_bits(arrays[name], dtype)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_decode(entry, arguments[0], arrays) for entry in data)
        return tuple(_decode(*pair, arrays) for pair in zip(data, arguments, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _decode(entry, arguments[1], arrays) for key, entry in data.items()}
    if origin is not None and issubclass(origin, Sequence):
        return [_decode(entry, arguments[0], arrays) for entry in data]
    if dataclasses.is_dataclass(kind):
        build: Any = kind
        known = _types(build)
        return build(**{name: _decode(entry, known[name], arrays) for name, entry in data.items()})
    if kind is Any:
        return data
    if kind is float:
        return float(data)
    if isinstance(kind, type) and issubclass(kind, (enum.Enum, Path)):
        return kind(data)
    if not isinstance(data, kind):
        raise TypeError(f"expected {kind.__name__}, got {data!r:.80}")
    return data


@lru_cache(maxsize=64)
def _types(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
