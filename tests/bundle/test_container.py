"""The file itself: what a reader must refuse, and before it takes memory."""

from __future__ import annotations

import errno
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bundle import bundle_digest, container, read_manifest
from harness.bundle.container import extract, write_bundle
from harness.bundle.contents import open_bundle
from harness.bundle.layout import Member, header, tail
from harness.bundle.manifest import MANIFEST, Origin
from harness.errors import InputError, MachineError
from harness.files import file_digest

ORIGIN = Origin("2026-08-01T12:00:00Z", "c0ffee0", {"numpy": "2.3.5"})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A bundle of two members that are no values."""
    plan, ledger = tmp_path / "plan", tmp_path / "ledger"
    plan.write_bytes(b"\x00" * 100)
    ledger.write_bytes(b"{}")
    path = tmp_path / "small.bundle"
    write_bundle(path, ORIGIN, {"ledger.json": ledger, "plan.safetensors": plan})
    return path


def sealed(manifest: Any, members: dict[str, bytes]) -> bytes:
    """A file whose checksums are right, whatever its manifest says."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    layout = [Member(MANIFEST, len(text), zlib.crc32(text))]
    layout += [Member(name, len(data), zlib.crc32(data)) for name, data in members.items()]
    parts = [text, *members.values()]
    body = b"".join(header(member) + data for member, data in zip(layout, parts, strict=True))
    return body + tail(layout)


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        told: dict[str, Any] = json.loads(file.read(MANIFEST))
        return told


def test_any_zip_program_reads_a_bundle(small: Path, v1: Path) -> None:
    with zipfile.ZipFile(small) as file:
        assert file.namelist() == [MANIFEST, "plan.safetensors", "ledger.json"]
        assert file.read("ledger.json") == b"{}"
    with zipfile.ZipFile(v1) as file:
        assert file.testzip() is None


def test_members_come_back_and_nothing_else_is_written(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    manifest = extract(small, target, {"ledger.json"})
    assert [path.name for path in target.iterdir()] == ["ledger.json"]
    assert manifest == read_manifest(small)
    assert manifest.origin == ORIGIN


def test_the_same_members_are_the_same_bytes(small: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.bundle"
    members = {"plan.safetensors": tmp_path / "plan", "ledger.json": tmp_path / "ledger"}
    write_bundle(again, ORIGIN, members)
    assert again.read_bytes() == small.read_bytes()
    assert bundle_digest(again) == file_digest(small)


def test_flipped_bits_are_found_wherever_they_are(small: Path, tmp_path: Path) -> None:
    content, damaged, out = small.read_bytes(), tmp_path / "damaged", tmp_path / "out"
    out.mkdir()
    for place in range(0, len(content), 3):
        flipped = content[place] ^ (1 << place % 8)
        damaged.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        with pytest.raises(InputError):
            extract(damaged, out)


def test_every_cut_and_every_addition_is_found(small: Path, tmp_path: Path) -> None:
    content, damaged = small.read_bytes(), tmp_path / "damaged"
    for place in range(0, len(content), 7):
        damaged.write_bytes(content[:place])
        with pytest.raises(InputError):
            bundle_digest(damaged)
    damaged.write_bytes(content + b"\0")
    with pytest.raises(InputError, match="its manifest says"):
        bundle_digest(damaged)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/b", "model.pte ", "evil.pte"])
def test_a_member_of_another_name_is_refused(name: str, small: Path, tmp_path: Path) -> None:
    told = manifest_of(small)
    told["members"] = {name: told["members"]["ledger.json"]}
    path = tmp_path / "named.bundle"
    path.write_bytes(sealed(told, {name: b"{}"}))
    with pytest.raises(InputError, match="which no bundle has"):
        bundle_digest(path)


def test_a_member_that_is_there_twice_is_refused(small: Path, tmp_path: Path) -> None:
    text = json.dumps(manifest_of(small))
    twin = text.replace('"ledger.json"', '"plan.safetensors"').encode()
    path = tmp_path / "twice.bundle"
    path.write_bytes(sealed(twin, {"plan.safetensors": b"\x00" * 100, "ledger.json": b"{}"}))
    with pytest.raises(InputError, match="twice"):
        bundle_digest(path)
    # Only in the zip's own tables, of which the manifest says nothing.
    told = manifest_of(small)
    content = sealed(told, {"plan.safetensors": b"\x00" * 100, "ledger.json": b"{}"})
    again = content + content[len(content) // 2 :]
    path.write_bytes(again)
    with pytest.raises(InputError, match="its manifest says"):
        bundle_digest(path)


def test_a_size_that_the_file_does_not_have_takes_no_memory(small: Path, tmp_path: Path) -> None:
    told = manifest_of(small)
    told["members"]["ledger.json"]["bytes"] = 1 << 40
    path = tmp_path / "large.bundle"
    path.write_bytes(sealed(told, {"plan.safetensors": b"\x00" * 100, "ledger.json": b"{}"}))
    with pytest.raises(InputError, match="its manifest says 1,099,511,"):
        bundle_digest(path)


def test_a_manifest_that_claims_gigabytes_is_refused_before_it_is_read(
    small: Path, tmp_path: Path
) -> None:
    content = bytearray(small.read_bytes())
    end = len(header(Member(MANIFEST, 0, 0)))
    struct.pack_into("<QQ", content, end - 16, 1 << 40, 1 << 40)
    path = tmp_path / "claims.bundle"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"manifest of 1,099,511,627,776 bytes"):
        bundle_digest(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_what_another_program_zipped_is_no_bundle(method: int, small: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(small) as old, zipfile.ZipFile(path, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InputError, match="zipped again"):
        bundle_digest(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "is of version 2, and this voxtral-parity reads version 1"),
        ({"format": "another"}, "expected format 'voxtral-parity bundle'"),
        ({"origin": {}}, "manifest cannot be read"),
        ({"members": []}, "manifest cannot be read"),
        ({"members": {"plan.safetensors": {"bytes": -1, "sha256": "", "crc32": 0}}}, "no sense"),
        ({"extra": 1}, "no 'extra'"),
    ],
)
def test_another_manifest_is_one_sentence(
    change: dict[str, Any], reason: str, small: Path, tmp_path: Path
) -> None:
    path = tmp_path / "changed.bundle"
    path.write_bytes(sealed({**manifest_of(small), **change}, {}))
    with pytest.raises(InputError, match=reason):
        bundle_digest(path)


def test_a_member_that_is_missing_is_named(v1: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(v1) as file:
        members = {name: file.read(name) for name in file.namelist() if name != MANIFEST}
    told = manifest_of(v1)
    for name in ("evidence.safetensors", "ledger.json", "model.pte"):
        rest = {key: data for key, data in members.items() if key != name}
        told["members"] = {key: manifest_of(v1)["members"][key] for key in rest}
        path = tmp_path / "short.bundle"
        path.write_bytes(sealed(told, rest))
        with pytest.raises(InputError, match=f"not whole.*{name}"), open_bundle(path):
            pass


def test_another_program_under_right_checksums_is_refused(v1: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(v1) as file:
        members = {name: file.read(name) for name in file.namelist() if name != MANIFEST}
    sources = tmp_path / "members"
    sources.mkdir()
    for name, data in members.items():
        (sources / name).write_bytes(data + b"\0" if name == "model.pte" else data)
    path = tmp_path / "other.bundle"
    write_bundle(path, ORIGIN, {name: sources / name for name in members})
    with pytest.raises(InputError, match=r"another model\.pte than was judged"), open_bundle(path):
        pass


def test_no_file_and_no_regular_file_are_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, Path("/dev/null")):
        with pytest.raises(InputError):
            bundle_digest(path)


def test_nothing_stays_behind_where_a_bundle_was_open(v1: Path, tmp_path: Path) -> None:
    with open_bundle(v1) as bundle:
        place = bundle.artifacts.paths["model.pte"]
        assert place.stat().st_size == bundle.manifest.members["model.pte"].bytes
        assert np.fromfile(place, np.uint8, 8)[4:].tobytes() == b"ET12"
    assert not place.parent.exists()


def test_a_full_disk_names_the_member_that_is_unpacked(
    v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(container, "_copy", full)
    with pytest.raises(MachineError, match=r"cannot write .*plan\.safetensors: No space left"):
        extract(v1, tmp_path)
