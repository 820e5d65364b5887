"""The store stays within its bound, and what is in use stays in the store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cache import Recipe, borrowed, clear, entries, evict, fetch
from harness.cache.store import release_all
from harness.errors import MachineError


def write(size: int) -> Callable[[Path], None]:
    def make(scratch: Path) -> None:
        (scratch / "data").write_bytes(bytes(size))

    return make


def keep(name: str, size: int = 1000, used: float | None = None, kind: str = "artifacts") -> Path:
    """An entry that no process uses any more, last used at `used`."""
    with borrowed(Recipe(kind, name, {}), write(size)) as entry:
        path = entry.path
    if used is not None:
        os.utime(path / "facts.json", (used, used))
    return path


def names() -> list[str]:
    return sorted(entry.name for entry in entries())


def test_the_least_recently_used_goes_first(store: Path) -> None:
    keep("b", used=300)
    keep("c", used=100, kind="eager")
    keep("a", used=200)
    lines: list[str] = []

    evict(3000, lines.append)

    assert names() == ["a", "b"]
    assert lines == ["evicted c, 1.1 kB: the cache is bounded to 3.0 kB"]


def test_what_goes_at_once_is_one_line(store: Path) -> None:
    for used, name in enumerate("abc"):
        keep(name, used=100 + used)
    lines: list[str] = []

    evict(1500, lines.append)

    assert names() == ["c"]
    assert lines == ["evicted 2 entries, 2.2 kB: the cache is bounded to 1.5 kB"]


def test_a_hit_counts_as_use(store: Path) -> None:
    keep("a", used=100)
    keep("b", used=200)
    keep("a")

    evict(2000)

    assert names() == ["a"]


def test_what_cannot_be_used_goes_before_all(store: Path) -> None:
    keep("old", used=100)
    (keep("damaged") / "data").write_bytes(bytes(900))

    evict(1500)

    assert names() == ["old"]


def test_an_entry_that_cannot_be_moved_leaves_nothing_beside_it(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep("a")
    (path / "facts.json").write_text("")

    def refuse(source: object, target: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(MachineError, match="Permission denied"):
        keep("a")
    assert list(path.parent.iterdir()) == [path]


def test_an_entry_in_use_stays(store: Path) -> None:
    keep("other", used=200)
    fetch(Recipe("artifacts", "used", {}), write(1000))

    evict(0)

    assert names() == ["used"]
    release_all()
    evict(0)
    assert names() == []


def test_an_entry_just_made_stays_even_if_it_is_more_than_the_bound(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("old", used=100)
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE_BYTES", "1500")

    keep("new", size=5000)

    assert names() == ["new"]


def test_within_the_bound_nothing_goes(store: Path) -> None:
    keep("a")
    keep("b")

    evict(10_000)

    assert names() == ["a", "b"]


def test_eviction_leaves_no_locks_and_no_directories(store: Path) -> None:
    keep("a")

    evict(0)

    assert [path for path in store.rglob("*") if path.is_file()] == []
    assert list((store / "artifacts").iterdir()) == []


def test_what_a_killed_process_left_is_swept(store: Path) -> None:
    entry = keep("a")
    half = entry.parent / f".{entry.name}.k1ll3d"
    half.mkdir()
    (half / "data").write_bytes(b"half")
    orphan = entry.parent / ".b-0123.k1ll3d"
    orphan.mkdir()

    evict(10_000)

    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


def test_what_is_being_made_is_not_swept(store: Path) -> None:
    def make(scratch: Path) -> None:
        (scratch / "data").write_text("half")
        evict(0)
        assert (scratch / "data").read_text() == "half"

    assert fetch(Recipe("artifacts", "a", {}), make).made


def test_clear_takes_one_kind_or_all(store: Path) -> None:
    keep("a")
    keep("b", kind="eager")

    deleted, kept = clear("eager")

    assert ([entry.name for entry in deleted], kept) == (["b"], [])
    assert names() == ["a"]
    clear()
    assert names() == []


def test_clear_keeps_what_is_in_use_and_says_so(store: Path) -> None:
    keep("free")
    fetch(Recipe("artifacts", "used", {}), lambda scratch: None)

    deleted, kept = clear()

    assert [entry.name for entry in deleted] == ["free"]
    assert [entry.name for entry in kept] == ["used"]
    assert names() == ["used"]
