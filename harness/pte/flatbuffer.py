"""Read a flatbuffer by its schema, with every offset and length checked.

The stock Python accessors follow any offset they are given; a damaged file can make them loop,
wrap around or answer with nonsense. Here nothing outside the buffer is ever touched, and a
small file cannot unfold into a large tree: what is decoded is bounded by the buffer's size.
What the verifier of the flatbuffers library refuses is refused here too: numbers off their
alignment, a table's index beyond the buffer, offsets of zero, strings without their final zero.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from functools import cache, partial
from typing import Any

from harness.errors import ProgramError
from harness.pte.schema import Field, Schema, Type

__all__ = ["Reader", "damaged", "record", "truncated"]

# The deepest honest nesting is 6 (program, plan, chain, instruction, call, argument list).
# Offsets only lead forward, so there are no cycles, but a damaged file can chain many tables.
_MAX_DEPTH = 16
# What is decoded takes at least a byte each in an honest file, and tables are rarely shared.
_SHARING = 8
# A program of 4B weights comes to a tenth of this; so many records take some 500 MB.
_MAX_PARTS = 5_000_000
# Constants that very old exports keep inline; a flatbuffer holds 2 GiB at the most.
_MAX_INLINE = 1 << 30

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_INLINE = ("scalar", "struct")
_Buffer = bytes | memoryview


def damaged(what: object, reason: str) -> ProgramError:
    """The error for a part of a file that contradicts itself or its schema."""
    return ProgramError(f"{what} is damaged: {reason}; export or copy it again")


def truncated(path: object, actual: int, expected: int) -> ProgramError:
    """The error for a file that ends too early; sizes in bytes."""
    return ProgramError(f"{path} is truncated: {actual} bytes, expected {expected}; copy it again")


@cache
def record(name: str, fields: tuple[str, ...]) -> type:
    """Frozen dataclass that holds one table, its attributes named as in the schema."""
    return make_dataclass(name, fields, frozen=True)


class Reader:
    """Decodes the tables of one buffer, which is called `what` in errors, into records.

    `convert` maps names of tables or structs to functions whose results replace their records.
    """

    def __init__(
        self,
        schema: Schema,
        buffer: _Buffer,
        what: str,
        convert: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self._schema = schema
        self._buffer = buffer
        self._what = what
        self._damaged = partial(damaged, what)
        self._convert = convert or {}
        self._budget = min(1024 + _SHARING * len(buffer), _MAX_PARTS)
        self._inline = min(len(buffer), _MAX_INLINE)
        self._strings: dict[int, str] = {}

    def root(self) -> Any:
        """Decode the root table and all that it refers to, or raise `ProgramError`.

        An absent vector is an empty tuple, an absent table or string None, an absent scalar its
        default (None where the schema says null), a ``[ubyte]`` bytes.
        """
        try:
            return self._table(self._schema.root, self._unpack(_U32, 0), 0)
        except UnicodeDecodeError as error:
            raise self._damaged("a name in it is not text") from error

    def _unpack(self, code: struct.Struct, position: int) -> Any:
        # struct would take a negative position to count from the end.
        if position < 0 or position + code.size > len(self._buffer):
            size = len(self._buffer)
            raise self._damaged(f"it refers to byte {position} of a part of {size} bytes")
        if position % code.size:
            raise self._damaged(f"a number of {code.size} bytes lies at byte {position}")
        return code.unpack_from(self._buffer, position)[0]

    def _spend(self, count: int) -> None:
        self._budget -= count
        if self._budget < 0:
            raise self._damaged("it has more parts than any export, or refers to them more often")

    def _table(self, name: str, position: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise self._damaged(f"tables nest deeper than {_MAX_DEPTH}, at {name}")
        fields = self._schema.tables[name]
        self._spend(4 + len(fields))
        vtable = position - self._unpack(_I32, position)
        size = self._unpack(_U16, vtable)
        if size % 2 or vtable + size > len(self._buffer):
            raise self._damaged(f"the index of a {name} in it has {size} bytes")

        def offset(slot: int) -> int:
            entry = 4 + 2 * slot
            return int(self._unpack(_U16, vtable + entry)) if entry + 2 <= size else 0

        values = []
        for field in fields:
            at = offset(field.slot)
            if not at:
                values.append(self._absent(name, field))
                continue
            if field.type.kind not in _INLINE and not self._unpack(_U32, position + at):
                raise self._damaged(f"the offset of a {name}'s {field.name} is zero")
            if field.type.kind == "union":
                tag = self._unpack(_U8, position + offset(field.slot - 1))
                values.append(self._union(field, tag, position + at, depth))
            else:
                values.append(self._value(field.type, position + at, depth))
        return self._made(name, fields, values)

    def _made(self, name: str, fields: tuple[Field, ...], values: list[Any]) -> Any:
        made = record(name, tuple(field.name for field in fields))(*values)
        return self._convert[name](made) if name in self._convert else made

    def _absent(self, table: str, field: Field) -> Any:
        if field.required:
            raise self._damaged(f"a {table} in it has no {field.name}")
        return () if field.type.kind == "vector" else field.default

    def _union(self, field: Field, tag: int, position: int, depth: int) -> Any:
        members = self._schema.unions[field.type.name]
        if not 1 <= tag <= len(members):
            raise ProgramError(
                f"{self._what} holds {field.type.name} number {tag}, but the installed "
                f"executorch knows 1 to {len(members)}; it was exported by a newer version "
                "or is damaged"
            )
        return self._table(members[tag - 1], position + self._unpack(_U32, position), depth + 1)

    def _value(self, kind: Type, position: int, depth: int) -> Any:
        if kind.kind == "scalar":
            return self._unpack(_SCALAR[kind.name], position)
        if kind.kind == "struct":
            return self._struct(kind.name, position)
        target = position + self._unpack(_U32, position)
        if kind.kind == "string":
            # Exporters write a string once and refer to it often.
            if target not in self._strings:
                text = self._bytes(target)
                self._spend(len(text))
                self._strings[target] = str(text, "utf-8")
                if self._unpack(_U8, target + 4 + self._unpack(_U32, target)):
                    raise self._damaged(f"the text at byte {target} has no end")
            return self._strings[target]
        if kind.kind == "table":
            return self._table(kind.name, target, depth + 1)
        assert kind.element is not None
        return self._vector(kind.element, target, depth)

    def _struct(self, name: str, position: int) -> Any:
        fields = self._schema.structs[name]
        values = []
        for field in fields:
            code = _SCALAR[field.type.name]
            values.append(self._unpack(code, position))
            position += code.size
        return self._made(name, fields, values)

    def _bytes(self, position: int, width: int = 1) -> _Buffer:
        length = self._unpack(_U32, position) * width
        start = position + 4
        if start + length > len(self._buffer):
            raise self._damaged(f"a list of {length} bytes in it runs past its end")
        return self._buffer[start : start + length]

    def _vector(self, element: Type, position: int, depth: int) -> Any:
        if element.kind == "scalar":
            code = _SCALAR[element.name]
            data = self._bytes(position, code.size)
            if element.name == "B":
                self._inline -= len(data)
                if self._inline < 0:
                    raise self._damaged("it holds more bytes than it has, or 1 GiB of them inline")
                return bytes(data)
            self._spend(len(data) // code.size)
            return tuple(v for (v,) in code.iter_unpack(data))
        width = 4
        if element.kind == "struct":
            width = sum(_SCALAR[f.type.name].size for f in self._schema.structs[element.name])
        count = len(self._bytes(position, width)) // width
        self._spend(count)
        first = position + 4
        return tuple(self._value(element, first + width * i, depth) for i in range(count))


_SCALAR = {code: struct.Struct(f"<{code}") for code in "?bBhHiIqQfd"}
_U8 = _SCALAR["B"]
