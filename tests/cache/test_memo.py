"""What was found in a large file is found again until the file changes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.cache import clear, entries, memo, remembered


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(memo, "_REMEMBER_ABOVE", 2)
    monkeypatch.setattr(memo, "_SETTLED", 0.05)
    return []


@pytest.fixture
def file(tmp_path: Path, looked: list[bytes]) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"content")
    time.sleep(0.1)
    return path


def ask(path: Path, looked: list[bytes], what: str = "sha256", code: str = "a") -> str:
    def find(path: Path) -> str:
        looked.append(path.read_bytes())
        return f"of {looked[-1]!r}"

    return remembered(what, path, find, {"code": code})


def test_a_settled_file_is_looked_at_once(file: Path, looked: list[bytes], store: Path) -> None:
    assert ask(file, looked) == ask(file, looked) == "of b'content'"
    assert len(looked) == 1


def test_small_files_are_not_worth_it(file: Path, looked: list[bytes], store: Path) -> None:
    file.write_bytes(b"ab")
    time.sleep(0.1)
    ask(file, looked)
    ask(file, looked)
    assert (len(looked), entries("digests")) == (2, [])


def test_content_of_the_same_size_and_mtime_is_other_content(
    file: Path, looked: list[bytes], store: Path
) -> None:
    """Whoever puts the old time back cannot put the inode's change time back."""
    ask(file, looked)
    before = file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(0.1)

    assert ask(file, looked) == "of b'CONTENT'"


def test_another_file_of_the_same_size_and_times_is_another(
    file: Path, looked: list[bytes], store: Path, tmp_path: Path
) -> None:
    ask(file, looked)
    other = tmp_path / "other"
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    os.replace(other, file)
    time.sleep(0.1)

    assert ask(file, looked) == "of b'CONTENT'"


def test_a_file_that_has_just_changed_is_not_remembered(
    file: Path, looked: list[bytes], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one tick of the clock a second change would leave no trace."""
    monkeypatch.setattr(memo, "_SETTLED", 60)
    ask(file, looked)
    assert entries("digests") == []


def test_other_questions_and_other_code_look_again(
    file: Path, looked: list[bytes], store: Path
) -> None:
    ask(file, looked)
    ask(file, looked, what="non-finite")
    ask(file, looked, code="edited")
    assert len(looked) == 3


def test_a_damaged_note_is_made_again(file: Path, looked: list[bytes], store: Path) -> None:
    ask(file, looked)
    (entry,) = entries("digests")
    note = entry.place.path / "found.json"
    note.write_bytes(b"{" * note.stat().st_size)

    assert ask(file, looked) == "of b'content'"
    assert len(looked) == 2


def test_clear_reaches_it(file: Path, looked: list[bytes], store: Path) -> None:
    ask(file, looked)
    assert len(clear("digests")[0]) == 1
    ask(file, looked)
    assert len(looked) == 2
