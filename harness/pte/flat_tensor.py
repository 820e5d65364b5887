"""Read a `.ptd`: named tensors that an export kept apart from its program.

Layout (executorch/extension/flat_tensor/serialize/serialize.py), all little-endian::

    0   u32  offset of the flatbuffer's root table
    4   4 B  "FT01"
    8   4 B  "FH01"
    12  u32  length of this header, 40
    16  u64  size of this header, padded
    24  u64  size of the flatbuffer without this header in it
    32  u64  offset of the first segment
    40  u64  size of all segments
    …        flatbuffer, padding, segments
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from harness.errors import ProgramError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.flatbuffer import Reader, damaged, truncated
from harness.pte.plan import Span
from harness.pte.schema import flat_tensor_schema

__all__ = ["DataFile", "Entry", "read_data_file"]

_HEADER = struct.Struct("<4sIQQQQ")
_VERSION = 0


@dataclass(frozen=True)
class Entry:
    """One named piece of data; `sizes` and `scalar_type` are None unless it is a tensor."""

    span: Span
    scalar_type: int | None
    sizes: tuple[int, ...] | None


@dataclass(frozen=True)
class DataFile:
    """The names in a `.ptd`, and where their bytes lie."""

    path: Path
    entries: Mapping[str, Entry]


def read_data_file(path: Path, content: memoryview, number: int) -> DataFile:
    """Read the names in `content`, the whole of a `.ptd`; `number` is the `Span.file` of it."""
    if len(content) < 8 + _HEADER.size or bytes(content[4:8]) != b"FT01":
        raise ProgramError(f"{path} is not a .ptd: expected b'FT01' at byte 4; export it again")
    magic, _, offset, size, first, data_size = _HEADER.unpack_from(content, 8)
    if magic != b"FH01":
        raise damaged(path, "it has no FH01 header")
    if (expected := max(offset + size, first + data_size)) > len(content):
        raise truncated(path, len(content), expected)
    # The header was inserted into the flatbuffer, whose offsets count from the file's start.
    with content[: offset + size] as flat:
        raw = Reader(flat_tensor_schema(), flat, str(path)).root()
    if raw.version > _VERSION:
        raise ProgramError(
            f"{path} has .ptd version {raw.version}, expected at most {_VERSION}; install the "
            "executorch that exported it"
        )

    def entry(named: Any) -> Entry:
        if named.key is None:
            raise damaged(path, "a tensor in it has no name")
        if not named.segment_index < len(raw.segments):
            raise damaged(
                path, f"it refers to segment {named.segment_index} of {len(raw.segments)}"
            )
        segment = raw.segments[named.segment_index]
        if segment.offset + segment.size > data_size:
            raise damaged(
                path, f"a segment ends at byte {segment.offset + segment.size} of {data_size}"
            )
        span = Span(first + segment.offset, segment.size, number)
        layout = named.tensor_layout
        if layout is None:
            return Entry(span, None, None)
        scalar = SCALAR_TYPES.get(layout.scalar_type)
        sizes = tuple(layout.sizes)
        if scalar is None or min(sizes, default=0) < 0:
            raise damaged(path, f"{named.key!r} has ScalarType {layout.scalar_type}, sizes {sizes}")
        expected = prod(sizes) * scalar.numpy.itemsize
        if expected > segment.size:
            raise damaged(path, f"{named.key!r} has {segment.size} bytes of {expected}")
        return Entry(Span(span.offset, expected, number), layout.scalar_type, sizes)

    return DataFile(path, {named.key: entry(named) for named in raw.named_data})
