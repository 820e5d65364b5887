"""A cache that cannot be written still serves; one that is damaged heals or says so."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.cache import Recipe, borrowed, clear, entries, evict, fetch, find
from harness.cache.store import release_all
from harness.errors import MachineError

FACTS = {"weights": "sha256:aa"}


def make(scratch: Path) -> None:
    (scratch / "model.pte").write_text("whole")


def ask(**options: Any) -> Path:
    return fetch(Recipe("artifacts", "model.pte", FACTS), make, **options).path


@pytest.fixture
def read_only(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store on a file system that is mounted read-only: root, too, is refused there."""
    ask()
    release_all()
    real_open, real_mkdir = os.open, os.mkdir

    def refuse(path: Any) -> None:
        if Path(os.fsdecode(path)).is_relative_to(store):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return real_open(path, flags, *rest, **options)

    def made(path: Any, *rest: Any, **options: Any) -> None:
        if not os.path.isdir(path):
            refuse(path)
        real_mkdir(path, *rest, **options)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "mkdir", made)
    monkeypatch.setattr(os, "utime", lambda path, *rest, **options: refuse(path))
    return store


def test_a_warm_cache_that_cannot_be_written_serves(read_only: Path) -> None:
    assert (ask() / "model.pte").read_text() == "whole"
    assert find(Recipe("artifacts", "model.pte", FACTS)) is not None
    with borrowed(Recipe("artifacts", "model.pte", FACTS), make) as entry:
        assert not entry.made
    assert [entry.name for entry in entries()] == ["model.pte"]


def test_it_serves_without_its_locks(read_only: Path) -> None:
    shutil.rmtree(read_only / ".locks")
    assert (ask() / "model.pte").read_text() == "whole"
    release_all()


def test_what_must_be_made_there_is_one_sentence(read_only: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot write .*: Read-only file system"):
        fetch(Recipe("artifacts", "codec.pte", FACTS), make)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(store: Path) -> None:
    def full(scratch: Path) -> None:
        (scratch / "model.pte").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MachineError, match=r"cannot write .*: No space left on device"):
        fetch(Recipe("artifacts", "model.pte", FACTS), full)
    assert entries() == []
    assert (ask() / "model.pte").read_text() == "whole"


@pytest.mark.parametrize("what", [".locks", ".locks/artifacts"])
def test_a_file_in_the_place_of_the_locks_says_what_to_delete(what: str, store: Path) -> None:
    (store / what).parent.mkdir(parents=True)
    (store / what).touch()
    with pytest.raises(MachineError, match=r"the cache's lock .* cannot be made: .*; delete "):
        ask()


def test_a_directory_in_the_place_of_a_lock_says_what_to_delete(store: Path) -> None:
    ask()
    release_all()
    for lock in (store / ".locks" / "artifacts").iterdir():
        lock.unlink()
        lock.mkdir()
    with pytest.raises(MachineError, match=r"cannot be made: Is a directory; delete "):
        ask()


@pytest.mark.parametrize(
    "damage",
    [
        '{"name": 1, "brief": "", "facts": {}, "files": {}, "made": ""}',
        '{"name": "a", "brief": null, "facts": {}, "files": {}, "made": ""}',
        '{"name": "a", "brief": "", "facts": [], "files": {}, "made": ""}',
        '{"name": "a", "brief": "", "facts": {}, "files": null, "made": ""}',
        "[" * 100_000,
        "9" * 5000,
        "\udcff",
    ],
    ids=("name", "brief", "facts", "files", "nested", "digits", "not UTF-8"),
)
def test_damaged_facts_are_made_again(damage: str, store: Path) -> None:
    path = ask()
    (path / "facts.json").write_bytes(damage.encode("utf-8", "surrogateescape"))
    release_all()

    assert [entry.record for entry in entries()] == [None]
    evict(limit=10**9)
    assert (ask() / "model.pte").read_text() == "whole"
    assert [entry.name for entry in entries()] == ["model.pte"]


def test_facts_of_another_kind_are_made_again(store: Path) -> None:
    path = ask()
    (path / "facts.json").unlink()
    (path / "facts.json").mkdir()
    os.mkfifo(path / "fifo")
    assert (ask() / "model.pte").read_text() == "whole"


def test_a_file_in_the_place_of_an_entry_gives_way(store: Path) -> None:
    path = ask()
    release_all()
    shutil.rmtree(path)
    path.touch()
    assert (ask() / "model.pte").read_text() == "whole"
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_strange_things_in_the_store_are_no_entries(store: Path) -> None:
    ask()
    (store / "file").touch()
    (store / "artifacts" / "file").touch()
    (store / "artifacts" / "loop").symlink_to("loop")
    (store / ".locks" / "file").touch()
    release_all()
    assert len(entries()) == 1
    assert len(clear()[0]) == 1
