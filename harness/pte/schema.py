"""The flatbuffer schemas that ship in the executorch wheel, read from their `.fbs` text.

`program.fbs` describes a `.pte`, `schema.fbs` the MLX delegate's payload in it, and
`flat_tensor.fbs` a `.ptd`. Reading the schema instead of generated bindings keeps torch out of the
import, follows the installed wheel when its schema grows, and lets one reader check every offset
(see `flatbuffer.py`). Where the wheel is not installed, `use_schemas` gives their text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import InputError, UnavailableError
from harness.upstream import package_directory

__all__ = [
    "SCHEMAS",
    "Field",
    "Schema",
    "Type",
    "flat_tensor_schema",
    "mlx_schema",
    "parse",
    "program_schema",
    "schema_texts",
    "use_schemas",
]

SCHEMAS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "program": ("executorch.exir", "_serialize", ("scalar_type.fbs", "program.fbs")),
    "flat_tensor": (
        "executorch.extension.flat_tensor", "serialize", ("scalar_type.fbs", "flat_tensor.fbs"),
    ),
    "mlx": ("executorch.backends", "mlx/serialization", ("schema.fbs",)),
}  # fmt: skip
"""Name → package, folder in it, and the files that make up the schema."""

_given: dict[str, str] = {}

_SCALARS = {
    "bool": "?", "byte": "b", "ubyte": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I",
    "long": "q", "ulong": "Q", "float": "f", "double": "d", "int8": "b", "uint8": "B",
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip


@dataclass(frozen=True)
class Type:
    """A field's type: a ``scalar``, ``string``, ``struct``, ``table``, ``union`` or ``vector``.

    `name` is that of the struct, table or union, or the `struct` code of a scalar; `element` is
    a vector's.
    """

    kind: str
    name: str
    element: Type | None = None


@dataclass(frozen=True)
class Field:
    """One field of a table: its vtable slot, and what an absent one means."""

    name: str
    type: Type
    slot: int
    default: int | float | bool | None
    required: bool


@dataclass(frozen=True)
class Schema:
    """Tables, structs (all of 32-bit members here), unions and enums by name."""

    identifier: bytes
    root: str
    tables: Mapping[str, tuple[Field, ...]]
    structs: Mapping[str, tuple[Field, ...]]
    unions: Mapping[str, tuple[str, ...]]
    enums: Mapping[str, Mapping[str, int]]


def schema_texts() -> dict[str, str]:
    """The text of each schema, by its name in `SCHEMAS`."""
    return {name: _text(name) for name in SCHEMAS}


def use_schemas(texts: Mapping[str, str]) -> None:
    """Read `.pte` files by these schemas where the executorch wheel is not installed.

    Raises
    ------
    InputError
        One is missing or is no schema.
    """
    for name in SCHEMAS:
        try:
            parse(texts[name])
        except (KeyError, AssertionError, ValueError, RecursionError):
            raise InputError(f"there is no flatbuffer schema {name!r} that can be read") from None
    _given.update(texts)


@cache
def program_schema() -> Schema:
    """Schema of a `.pte`'s program flatbuffer."""
    return parse(_text("program"))


@cache
def flat_tensor_schema() -> Schema:
    """Schema of a `.ptd`."""
    return parse(_text("flat_tensor"))


@cache
def mlx_schema() -> Schema:
    """Schema of the MLX delegate's payload."""
    return parse(_text("mlx"))


def _text(name: str) -> str:
    package, folder, files = SCHEMAS[name]
    try:
        directory = package_directory(package) / folder
    except UnavailableError:
        if name in _given:
            return _given[name]
        raise
    return "".join(_read(directory / file) for file in files)


def parse(text: str) -> Schema:
    """Read the subset of the flatbuffer schema language that executorch's files use."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r":\s*\w+\.(?=[A-Za-z])", ": ", text)  # types of another namespace
    block = r"\b(table|struct|union|enum)\s+(\w+)\s*(?::\s*(\w+))?\s*\{([^}]*)\}"
    blocks: list[tuple[str, str, str, str]] = re.findall(block, text)
    enums = {name: _members(body) for kind, name, _, body in blocks if kind == "enum"}
    unions = {name: tuple(_members(body)) for kind, name, _, body in blocks if kind == "union"}
    kinds = {name: kind for kind, name, _, _ in blocks}
    codes = {name: _SCALARS[base] for kind, name, base, _ in blocks if kind == "enum"}

    def type_of(word: str) -> Type:
        if word.startswith("["):
            return Type("vector", word, type_of(word[1:-1].strip()))
        if word == "string":
            return Type("string", word)
        code = _SCALARS.get(word) or codes.get(word)
        return Type("scalar", code) if code else Type(kinds[word], word)

    def fields(body: str) -> tuple[Field, ...]:
        found = []
        slot = 0
        for name, word, default, attributes in re.findall(
            r"(\w+)\s*:\s*(\[\s*\w+\s*\]|\w+)\s*(?:=\s*([\w.+-]+))?\s*(?:\(([^)]*)\))?\s*;", body
        ):
            kind = type_of(word)
            # A union takes two slots: the hidden type byte, then the value.
            slot += kind.kind == "union"
            value = _default(default, kind, enums.get(word, {}))
            found.append(Field(name, kind, slot, value, "required" in attributes))
            slot += 1
        return tuple(found)

    identifier = re.search(r'file_identifier\s+"(....)"', text)
    root = re.search(r"root_type\s+(\w+)", text)
    assert root is not None
    return Schema(
        identifier=identifier.group(1).encode() if identifier else b"",
        root=root.group(1),
        tables={name: fields(body) for kind, name, _, body in blocks if kind == "table"},
        structs={name: fields(body) for kind, name, _, body in blocks if kind == "struct"},
        unions=unions,
        enums=enums,
    )


def _members(body: str) -> dict[str, int]:
    """Members of an enum or union, numbered on from the last explicit value."""
    members: dict[str, int] = {}
    number = -1
    for name, value in re.findall(r"(\w+)\s*(?:=\s*(-?\d+))?\s*(?:,|$)", body.strip()):
        members[name] = number = int(value) if value else number + 1
    return members


def _default(word: str, kind: Type, enum: Mapping[str, int]) -> int | float | bool | None:
    if kind.kind != "scalar" or word == "null":
        return None
    if word in enum:
        return enum[word]
    if kind.name == "?":
        return word == "true"
    return float(word or 0) if kind.name in "fd" else int(word or 0)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UnavailableError(
            f"the installed executorch has no {path.name} in {path.parent}; "
            "install the version that pyproject.toml pins"
        ) from error
