"""Read values of a JSON file by a table that declares the type and the range of each.

A table maps dotted paths to `Kind`s. Every refusal is one bounded sentence that names the file,
the path in it, what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import CheckpointError, brief

_REQUIRED = object()


@dataclass(frozen=True)
class Kind:
    """What a value must be; `expected` completes the sentence "KEY must be …".

    `default` stands for a value that is absent; without one the value is required.
    """

    expected: str
    accepts: Callable[[Any], bool]
    default: Any = _REQUIRED


def integer(low: int, high: int, default: Any = _REQUIRED) -> Kind:
    """An integer from `low` to `high`."""
    return Kind(
        f"an integer from {low:,} to {high:,}",
        lambda value: type(value) is int and low <= value <= high,
        default,
    )


def number(high: float, default: Any = _REQUIRED) -> Kind:
    """A number above 0 and up to `high`."""
    return Kind(
        f"a number above 0 and up to {high:g}",
        lambda value: type(value) in (int, float) and 0 < value <= high,
        default,
    )


def flag(default: bool) -> Kind:
    """True or false."""
    return Kind("true or false", lambda value: type(value) is bool, default)


def text(limit: int, default: Any = _REQUIRED) -> Kind:
    """Text of 1 to `limit` characters."""
    return Kind(
        f"a string of 1 to {limit:,} characters",
        lambda value: isinstance(value, str) and 0 < len(value) <= limit,
        default,
    )


def integers(high: int, default: Any = _REQUIRED) -> Kind:
    """Text of up to 64 integers from 1 to `high`, with commas between."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, str) or len(value) > 1000:
            return False
        parts = [part.strip() for part in value.split(",")]
        return len(parts) <= 64 and all(
            part.isascii() and part.isdecimal() and 1 <= int(part) <= high for part in parts
        )

    return Kind(f"integers from 1 to {high:,} with commas between, in a string", accepts, default)


def mapping(of: Kind, limit: int) -> Kind:
    """An object of up to `limit` values of one kind."""
    return Kind(
        f"an object of up to {limit:,} names, each with {of.expected}",
        lambda value: (
            isinstance(value, dict) and len(value) <= limit and all(map(of.accepts, value.values()))
        ),
    )


def objects(limit: int) -> Kind:
    """A list of up to `limit` objects."""
    return Kind(
        f"a list of up to {limit:,} objects",
        lambda value: (
            isinstance(value, list) and len(value) <= limit and {*map(type, value)} <= {dict}
        ),
    )


def under(prefix: str, table: Mapping[str, Kind]) -> dict[str, Kind]:
    """`table` with its paths below `prefix`."""
    return {f"{prefix}.{path}": kind for path, kind in table.items()}


def read_table(
    contents: Mapping[str, Any], table: Mapping[str, Kind], file: Path | str
) -> dict[str, Any]:
    """The values of `table` in the JSON object `contents` of `file`, by their paths.

    Raises `CheckpointError` where one is missing, or is not of its kind.
    """
    return {path: _value(contents, path, kind, file) for path, kind in table.items()}


def _value(contents: Any, path: str, kind: Kind, file: Path | str) -> Any:
    value, above = contents, ""
    for part in path.split("."):
        if not isinstance(value, Mapping):
            raise CheckpointError(
                f"{file}: {above or 'the file'} must be an object (got {brief(value)})"
            )
        if part not in value:
            if kind.default is _REQUIRED:
                raise CheckpointError(f"{file} has no {path}; is the file whole?")
            return kind.default
        value, above = value[part], f"{above}.{part}" if above else part
    if not kind.accepts(value):
        raise CheckpointError(f"{file}: {path} must be {kind.expected} (got {brief(value)})")
    return value
