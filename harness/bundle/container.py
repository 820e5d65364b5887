"""A bundle as a file: written from its members, and read back into a directory, checked.

The file is a zip whose members are stored as they are (`harness.bundle.layout`), `manifest.json`
first. A reader trusts nothing: the manifest says how long every member is, these sizes must add up
to the file's own before anything is read, all bytes between the members must be those that were
written, and each member must have the sha256 that the manifest gives. Only names that are known
are written to the disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.bundle.layout import Member, header, tail
from harness.bundle.manifest import LIMIT, MANIFEST, NAMES, Manifest, MemberFacts, Origin
from harness.errors import InputError, brief
from harness.files import file_digest, open_file, replace_file, writing

__all__ = ["bundle_digest", "extract", "read_manifest", "write_bundle"]

_BLOCK = 1 << 22


def bundle_digest(path: Path) -> str:
    """sha256 of a bundle file in hex, by which Observations and reports name it.

    Raises
    ------
    InputError
        The file is missing, damaged or no bundle.
    """
    with _opened(path):
        return file_digest(path)


def write_bundle(path: Path, origin: Origin, members: Mapping[str, Path]) -> None:
    """Write a bundle of files, whole or not at all; `members` by their names in it."""
    ordered = {name: members[name] for name in NAMES if name in members}
    assert len(ordered) == len(members)
    manifest = Manifest(origin, {name: _facts(file) for name, file in ordered.items()})
    text = manifest.to_bytes()
    layout = manifest.layout(len(text), zlib.crc32(text))
    with replace_file(path) as scratch, scratch.open("wb") as out:
        out.write(header(layout[0]) + text)
        for member, file in zip(layout[1:], ordered.values(), strict=True):
            out.write(header(member))
            with file.open("rb") as data:
                shutil.copyfileobj(data, out, _BLOCK)
        out.write(tail(layout))


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle; raises as `bundle_digest` does."""
    with _opened(path) as (_, manifest):
        return manifest


def extract(path: Path, directory: Path, wanted: Collection[str] = NAMES) -> Manifest:
    """Write the members named `wanted`, as far as there are such, to a directory.

    Raises
    ------
    InputError
        The bundle is missing, damaged or none, or a member, wanted or not, is not what the
        manifest says.
    """
    with _opened(path) as (file, manifest):
        for name, facts in manifest.members.items():
            target = directory / name if name in wanted else Path(os.devnull)
            file.seek(len(header(Member(name, facts.bytes, facts.crc32))), os.SEEK_CUR)
            with writing(target), target.open("wb") as out:
                digest = _copy(file, out, facts.bytes)
            if digest != facts.sha256:
                raise InputError(
                    f"the bundle {path} is damaged: {name} has sha256 {digest[:12]}…, and "
                    f"{facts.sha256[:12]}… when it was packed; get a whole copy"
                )
        return manifest


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Manifest]]:
    """A bundle whose form is right, read up to the end of its manifest."""
    with open_file(path, "bundle") as file:
        size = os.fstat(file.fileno()).st_size
        text = _manifest_text(path, file, size)
        manifest = Manifest.of(text)
        layout = manifest.layout(len(text), zlib.crc32(text))
        end = tail(layout)
        whole = sum(len(header(member)) + member.size for member in layout) + len(end)
        if whole != size:
            raise InputError(
                f"the bundle {path} has {size:,} bytes, and its manifest says {whole:,}: it was "
                "cut off or changed; get a whole copy"
            )
        _compare(path, file, layout, end)
        file.seek(len(header(layout[0])) + len(text))
        yield file, manifest


def _manifest_text(path: Path, file: BinaryIO, size: int) -> bytes:
    """The manifest, if the file begins with one."""
    place = len(header(Member(MANIFEST, 0, 0)))
    start = file.read(place)
    # CRC-32 and 64-bit size, as `header` places them.
    crc = struct.unpack_from("<I", start, 14)[0] if len(start) == place else 0
    length = struct.unpack_from("<Q", start, place - 16)[0] if len(start) == place else 0
    if start != header(Member(MANIFEST, length, crc)):
        raise InputError(
            f"{path} is no bundle: it does not begin as `voxtral-parity bundle pack` writes it; a "
            "bundle that was unpacked and zipped again is none either"
        )
    if length > min(LIMIT, size):
        raise InputError(
            f"the bundle {path} has a manifest of {length:,} bytes, and at most "
            f"{min(LIMIT, size):,} are read; get a whole copy"
        )
    text = file.read(length)
    if zlib.crc32(text) != crc:
        raise InputError(f"the bundle {path} is damaged: in its manifest; get a whole copy")
    return text


def _compare(path: Path, file: BinaryIO, layout: list[Member], end: bytes) -> None:
    """Refuse a file that has other bytes between its members than a bundle of them has."""
    position = 0
    for member in layout:
        wanted = header(member)
        file.seek(position)
        if file.read(len(wanted)) != wanted:
            raise InputError(
                f"the bundle {path} is damaged before its member {brief(member.name)}, at byte "
                f"{position:,}; get a whole copy"
            )
        position += len(wanted) + member.size
    file.seek(position)
    if file.read() != end:
        raise InputError(
            f"the bundle {path} is damaged behind its last member, at byte {position:,}; get a "
            "whole copy"
        )


def _copy(file: BinaryIO, out: BinaryIO, size: int) -> str:
    """Copy `size` bytes; their sha256."""
    digest = hashlib.sha256()
    while size:
        block = file.read(min(size, _BLOCK))
        if not block:
            break  # the file shrank meanwhile: the digest tells
        digest.update(block)
        out.write(block)
        size -= len(block)
    return digest.hexdigest()


def _facts(file: Path) -> MemberFacts:
    digest, crc, size = hashlib.sha256(), 0, 0
    with file.open("rb") as data:
        while block := data.read(_BLOCK):
            digest.update(block)
            crc, size = zlib.crc32(block, crc), size + len(block)
    return MemberFacts(size, digest.hexdigest(), crc)
