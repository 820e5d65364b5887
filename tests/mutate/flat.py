"""Write a flatbuffer from the records that `harness.pte.flatbuffer.Reader` decodes."""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers

from harness.pte.schema import Field, Schema, Type

__all__ = ["write"]

_SLOT = {
    "?": "Bool", "b": "Int8", "B": "Uint8", "h": "Int16", "H": "Uint16", "i": "Int32",
    "I": "Uint32", "q": "Int64", "Q": "Uint64", "f": "Float32", "d": "Float64",
}  # fmt: skip


def write(schema: Schema, root: Any) -> bytes:
    """The bytes of `root`, a record of the schema's root table."""
    writer = _Writer(schema)
    offset = writer.table(schema.root, root)
    writer.builder.Finish(offset, file_identifier=schema.identifier or None)
    return bytes(writer.builder.Output())


class _Writer:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.builder = flatbuffers.Builder(1 << 16)

    def table(self, name: str, record: Any) -> int:
        """Write what a table refers to, then the table."""
        builder, fields = self.builder, self.schema.tables[name]
        values = {field.name: getattr(record, field.name) for field in fields}
        offsets = {f.name: self.child(f, values[f.name]) for f in fields if not _inline(f.type)}
        builder.StartObject(max((field.slot for field in fields), default=-1) + 1)
        for field in fields:
            value = values[field.name]
            if field.type.kind == "scalar":
                prepend = getattr(builder, f"Prepend{_SLOT[field.type.name]}Slot")
                prepend(field.slot, value, field.default)
            elif field.type.kind == "struct":
                if value is not None:
                    builder.PrependStructSlot(field.slot, self.struct(field.type.name, value), 0)
            elif offsets[field.name] is not None:
                if field.type.kind == "union":
                    members = self.schema.unions[field.type.name]
                    tag = members.index(type(value).__name__) + 1
                    builder.PrependUint8Slot(field.slot - 1, tag, 0)
                builder.PrependUOffsetTRelativeSlot(field.slot, offsets[field.name], 0)
        return int(builder.EndObject())

    def child(self, field: Field, value: Any) -> int | None:
        """Write a string, vector, table or union; None for one that is absent."""
        kind = field.type.kind
        if value is None or (kind == "vector" and not len(value) and not field.required):
            return None
        if kind == "string":
            return int(self.builder.CreateString(value))
        if kind == "union":
            return self.table(type(value).__name__, value)
        if kind == "table":
            return self.table(field.type.name, value)
        assert field.type.element is not None
        return self.vector(field.type.element, value)

    def vector(self, element: Type, items: Any) -> int:
        builder = self.builder
        if element.kind == "scalar":
            if element.name == "B":
                return int(builder.CreateByteVector(bytes(items)))
            size = struct.calcsize(element.name)
            builder.StartVector(size, len(items), size)
            for item in reversed(items):
                getattr(builder, f"Prepend{_SLOT[element.name]}")(item)
        elif element.kind == "struct":
            size = 4 * len(self.schema.structs[element.name])
            builder.StartVector(size, len(items), 4)
            for item in reversed(items):
                self.struct(element.name, item)
        else:
            text = element.kind == "string"
            offsets = [
                builder.CreateString(item) if text else self.table(element.name, item)
                for item in items
            ]
            builder.StartVector(4, len(items), 4)
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    def struct(self, name: str, record: Any) -> int:
        """Write a struct where the builder stands; all of its members have 32 bits."""
        fields = self.schema.structs[name]
        self.builder.Prep(4, 4 * len(fields))
        for field in reversed(fields):
            prepend = getattr(self.builder, f"Prepend{_SLOT[field.type.name]}")
            prepend(getattr(record, field.name))
        return int(self.builder.Offset())


def _inline(kind: Type) -> bool:
    return kind.kind in ("scalar", "struct")
