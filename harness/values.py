"""Dataclasses as plain JSON values, and back, by their annotations.

Infinities and NaN, for which strict JSON has no literal, are the strings ``"inf"``, ``"-inf"`` and
``"nan"``. Nothing in a file says what to build.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import Array, from_bits, to_bits

__all__ = ["decode", "encode", "number", "timestamp"]

_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any, arrays: dict[str, Array] | None = None) -> Any:
    """`value` with only what JSON has.

    Parameters
    ----------
    value
        Dataclasses, numbers, strings, enums, None, paths (of which the last part is kept), and
        tuples, lists and mappings of these.
    arrays
        Receives the arrays, in whose place the value has a name and a type.

    Raises
    ------
    TypeError
        Something else is in it.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, np.ndarray) and arrays is not None:
        name = f"a{len(arrays)}"
        arrays[name] = to_bits(value)
        return [name, value.dtype.name]
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value))
        return {name: encode(getattr(value, name), arrays) for name in names}
    if isinstance(value, Mapping):
        return {str(key): encode(entry, arrays) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(entry, arrays) for entry in value]
    if isinstance(value, Path):
        return value.name
    raise TypeError(f"a file cannot carry a {type(value).__name__} ({value!r:.80})")


def decode(data: Any, kind: Any, arrays: Callable[[str], Array] | None = None) -> Any:
    """The `kind` that `encode` made `data` of; `arrays` gives an array by its name.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is none.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        kinds = [one for one in arguments if one is not types.NoneType]
        if data is None and len(kinds) < len(arguments):
            return None
        return decode(data, kinds[0], arrays) if len(kinds) == 1 else data  # plain JSON values
    if origin is typing.Literal:
        if data not in arguments:
            raise ValueError(f"expected one of {arguments}, got {data!r:.80}")
        return data
    if origin is np.ndarray:
        name, dtype = data
        if arrays is None:
            raise TypeError("there are no arrays beside this value")
        return from_bits(arrays(name), dtype)
    if origin is tuple:
        if not isinstance(data, list):
            raise TypeError(f"expected a list, got {data!r:.80}")
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(decode(*pair, arrays) for pair in zip(data, kinds, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: decode(entry, arguments[1], arrays) for key, entry in data.items()}
    if dataclasses.is_dataclass(kind):
        build: Any = kind
        known, fields = _types(build), {}
        for name, entry in data.items():
            inner = known[name]
            try:
                fields[name] = decode(entry, inner, arrays)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None
        return build(**fields)
    if kind is Any:
        return data
    if kind is float:
        return number(data)
    if issubclass(kind, (Enum, Path)):
        return kind(data)
    if type(data) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {data!r:.80}")
    return data


def number(data: Any) -> float:
    """A number of a file; raises `TypeError` if it is none."""
    if isinstance(data, str) and data in _WORDS:
        return _WORDS[data]
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise TypeError(f"expected a number, got {data!r:.80}")
    return data + 0


def timestamp(moment: datetime.datetime | None = None) -> str:
    """A moment of UTC, now if none is given, as ISO 8601: ``"2026-08-01T12:00:00Z"``."""
    moment = moment or datetime.datetime.now(datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@lru_cache(maxsize=128)
def _types(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
