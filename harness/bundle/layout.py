"""The bytes of a zip file of stored members, fixed by their names, sizes and checksums alone.

Nothing is compressed, times and permissions are always the same, and sizes are always in the 64-bit
fields: whoever knows the members knows every byte between them. A reader therefore need not parse
the zip's own tables: it builds them anew and compares.

References
----------
PKWARE, APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16
(ends of central directory), 4.5.3 (64-bit sizes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Member", "header", "tail"]

_NEEDED = 45
"""Version 4.5 of the format: 64-bit sizes."""

_MADE = 3 << 8 | _NEEDED
"""By Unix."""

_DATE = 0x21
"""1980-01-01, the first that the format knows."""

_MODE = 0o100644 << 16
_IN_64 = 0xFFFFFFFF
"""In the place of a 32-bit size or offset: the 64-bit field has it."""


@dataclass(frozen=True)
class Member:
    """A member: its name in ASCII, its size in bytes, and its CRC-32."""

    name: str
    size: int
    crc: int


def header(member: Member) -> bytes:
    """What stands before a member's bytes."""
    name = member.name.encode("ascii")
    extra = struct.pack("<HHQQ", 1, 16, member.size, member.size)
    fixed = struct.pack(
        "<4sHHHHHIIIHH",
        b"PK\3\4", _NEEDED, 0, 0, 0, _DATE, member.crc, _IN_64, _IN_64, len(name), len(extra),
    )  # fmt: skip
    return fixed + name + extra


def tail(members: Iterable[Member]) -> bytes:
    """What stands behind the last member's bytes: the directory, and where that is."""
    offset = count = 0
    directory = b""
    for member in members:
        directory += _entry(member, offset)
        offset += len(header(member)) + member.size
        count += 1
    end_64 = struct.pack(
        "<4sQHHIIQQQQ",
        b"PK\6\6", 44, _MADE, _NEEDED, 0, 0, count, count, len(directory), offset,
    )  # fmt: skip
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + len(directory), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, _IN_64, _IN_64, 0)
    return directory + end_64 + locator + end


def _entry(member: Member, offset: int) -> bytes:
    name = member.name.encode("ascii")
    extra = struct.pack("<HHQQQ", 1, 24, member.size, member.size, offset)
    fixed = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\1\2", _MADE, _NEEDED, 0, 0, 0, _DATE, member.crc, _IN_64, _IN_64,
        len(name), len(extra), 0, 0, 0, _MODE, _IN_64,
    )  # fmt: skip
    return fixed + name + extra
