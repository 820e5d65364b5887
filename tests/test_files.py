"""Files arrive whole or not at all, and trouble with them is one sentence."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from harness.errors import CheckpointError, InputError, MachineError
from harness.files import (
    cache_dir,
    check_directory,
    check_targets,
    file_digest,
    open_file,
    read_file,
    read_json,
    replace_directory,
    replace_file,
    write_json,
)


def write(path: Path, text: str = "new") -> None:
    with replace_file(path) as scratch:
        scratch.write_text(text)


def test_the_environment_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "elsewhere"))
    assert cache_dir() == tmp_path / "elsewhere"
    assert cache_dir().is_dir()


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.pte"
    target.write_text("old")
    with replace_file(target) as scratch:
        scratch.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_strict_and_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"text": "é", "runs": [1.5]})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"text": "é", "runs": [1.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", [float("nan")])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.pte"
    target.write_text("old")

    def interrupted() -> None:
        with replace_file(target) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replace_directory(tmp_path / "made") as scratch:
            (scratch / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_arrives_with_its_files(tmp_path: Path) -> None:
    with replace_directory(tmp_path / "made") as scratch:
        (scratch / "whole").touch()
        assert not (tmp_path / "made").exists()
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["whole"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "dangling.json").symlink_to("later.json")

    write(tmp_path / "link.json")
    write(tmp_path / "dangling.json")

    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "dangling.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"
    assert (tmp_path / "later.json").read_text() == "new"


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755)]
)
def test_the_umask_is_respected(umask: int, file: int, folder: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "a.json")
        with replace_file(tmp_path / "a.safetensors") as scratch:
            save_file({}, scratch)
        with replace_directory(tmp_path / "made"):
            pass
    finally:
        os.umask(before)

    for name in ("a.json", "a.safetensors"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == folder


def test_a_replaced_file_hands_its_permissions_on(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch(0o640)
    (tmp_path / "a.json").chmod(0o640)
    write(tmp_path / "a.json")
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A directory with what is no regular file in it."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "null").symlink_to("/dev/null")
    return tmp_path


BAD_OUTPUTS = [
    ("", "it is a directory"),
    ("folder", "it is a directory"),
    ("fifo", "it is a device or a pipe"),
    ("/dev/null", "it is a device or a pipe"),
    ("null", "it is a device or a pipe"),
    ("loop", "Too many levels of symbolic links"),
    ("file/a.json", "Not a directory"),
    ("n" * 300, "File name too long"),
    ("n" * 5000, "File name too long"),
    ("/proc/a.json", "No such file or directory"),
    ("a\0b", "null byte"),
]


@pytest.mark.parametrize(("name", "sentence"), BAD_OUTPUTS)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    name: str, sentence: str, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(odd)
    with pytest.raises(InputError, match=sentence) as found:
        check_targets(None, Path(name))
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("name", ["folder", "fifo", "null", "/dev/null", "loop"])
def test_nothing_is_written_over_what_is_no_regular_file(name: str, odd: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write(odd / name)
    assert stat.S_ISFIFO((odd / "fifo").stat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(path.name for path in odd.iterdir()) == [
        "fifo", "file", "folder", "loop", "null",
    ]  # fmt: skip


def test_parents_of_an_output_are_made(tmp_path: Path) -> None:
    check_targets(tmp_path / "a" / "b" / "c.json")
    assert (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    check_targets(tmp_path / "a", tmp_path / "b")
    for one, two in (("a", "a"), ("a", "../" + tmp_path.name + "/a"), ("real", "link")):
        with pytest.raises(InputError, match="two outputs are the same file"):
            check_targets(tmp_path / one, tmp_path / two)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("file", "it is not a directory"),
        ("/proc/x", "No such file or directory"),
        ("loop", "it is not a directory"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_directory_that_cannot_hold_files_is_refused(name: str, sentence: str, odd: Path) -> None:
    with pytest.raises(InputError, match=f"cannot write .*: {sentence}"):
        check_directory(odd / name)


@pytest.mark.parametrize("name", ["missing", "folder", "fifo", "/dev/zero", "loop", "a\0b"])
def test_what_is_no_regular_file_is_not_read_nor_waited_for(name: str, odd: Path) -> None:
    with pytest.raises(CheckpointError, match=r"params\.json .* cannot be read: "):
        open_file(odd / name, "params.json", CheckpointError)
    with pytest.raises(InputError, match="cannot be read: "):
        file_digest(odd / name)


def test_a_foreign_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "voice"
    path.write_bytes(b"12345")
    assert read_file(path, "voice", limit=5) == b"12345"
    with pytest.raises(InputError, match="has 5 bytes, and at most 4 are read"):
        read_file(path, "voice", limit=4)


def test_a_sparse_giant_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="at most 67,108,864 are read"):
        read_json(tmp_path / "giant", "golden")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe{\x00", "UnicodeDecodeError"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "digits"),
        (b"{", "JSONDecodeError"),
    ],
)
def test_what_is_not_json_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "golden").write_bytes(content)
    with pytest.raises(InputError, match=rf"golden .* is not readable JSON: .*{sentence}"):
        read_json(tmp_path / "golden", "golden")


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(json.dumps({"é": [1]}, ensure_ascii=False), "utf-8")
    assert read_json(tmp_path / "a", "a") == {"é": [1]}


def test_a_full_disk_names_the_output(tmp_path: Path) -> None:
    def fails(reason: int, *names: Path | str) -> None:
        with replace_file(tmp_path / "a.wav"):
            error = OSError(reason, os.strerror(reason))
            error.filename, error.filename2 = (*names, None, None)[:2]
            raise error

    with pytest.raises(MachineError, match=r"cannot write .*a\.wav: No space left on device"):
        fails(errno.ENOSPC)
    with pytest.raises(MachineError, match=r"cannot write .*a\.wav: No space left on device"):
        fails(errno.ENOSPC, "/elsewhere", tmp_path / ".a.wav")  # a copy that came so far
    # What is not about the output is not told of it.
    with pytest.raises(BrokenPipeError):
        fails(errno.EPIPE)
    with pytest.raises(FileNotFoundError):
        fails(errno.ENOENT, "/elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_what_safetensors_could_not_write_names_the_output(tmp_path: Path) -> None:
    target = tmp_path / "out"
    full = "Error while serializing: I/O error: No space left on device (os error 28)"
    told = f"cannot write {target}: No space left on device"
    with pytest.raises(MachineError, match=told), replace_file(target):
        raise SafetensorError(full)
    with pytest.raises(SafetensorError, match="no header"), replace_file(target):
        raise SafetensorError("no header")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "loop", "n" * 300, "/proc/cache"])
def test_a_cache_that_is_no_directory_is_one_sentence(
    name: str, odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(odd / name))
    with pytest.raises(InputError, match=r"the cache .* cannot be used: .*; set VOXTRAL_PARITY_C"):
        cache_dir()


def test_a_cache_whose_name_is_not_utf8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(InputError, match="is not UTF-8"):
        cache_dir()
