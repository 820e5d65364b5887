"""What the store holds, and how it is kept within its bound.

Least recently used goes first; an entry that a process uses or makes stays. Only the holder of
an entry's locks moves its directory, and moves it away whole before deleting, so that a kill at
any moment leaves either an entry or something that the next sweep removes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from harness.cache.facts import Facts
from harness.cache.locks import release, try_acquire
from harness.errors import HarnessError, InputError, brief
from harness.files import cache_dir, read_json

__all__ = [
    "FACTS_FILE",
    "KeptEntry",
    "Place",
    "Record",
    "bound",
    "clear",
    "entries",
    "evict",
    "fault",
    "root",
    "set_aside",
    "sweep",
]

FACTS_FILE = "facts.json"

DEFAULT_BOUND = 20 * 10**9
"""Bytes. One full-size set (8.0 GB of weights, 2.6 GB of bf16-4w8w `model.pte`, as much again of
quantised weights, 0.6 GB of codec) is 14 GB; the rest holds hundreds of small ones."""

_MAX_DIGITS = 20

_LOCKS = ".locks"


def root() -> Path:
    """Directory of the store."""
    return cache_dir() / "store"


@dataclass(frozen=True)
class Place:
    """Where an entry and its locks are, whether or not it exists."""

    kind: str
    entry: str

    @property
    def path(self) -> Path:
        """Directory of the entry."""
        return root() / self.kind / self.entry

    def lock(self, which: str) -> Path:
        """``"make"``: of whoever makes or deletes the entry; ``"use"``: which its users share."""
        return root() / _LOCKS / self.kind / f"{self.entry}.{which}"


@dataclass(frozen=True)
class Record:
    """What an entry's `facts.json` says: what it is, from what and when it was made, in UTC."""

    name: str
    brief: str
    facts: Facts
    files: dict[str, int]
    """Size in bytes of each, by its path in the entry."""
    made: str

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Read it; None if there is none, or none that can be read."""
        try:
            values = read_json(path, FACTS_FILE)
        except HarnessError:
            return None
        kinds = {"name": str, "brief": str, "facts": dict, "files": dict, "made": str}
        whole = isinstance(values, dict) and {k: type(v) for k, v in values.items()} == kinds
        return cls(**values) if whole else None


@dataclass(frozen=True)
class KeptEntry:
    """An entry as a list shows it."""

    place: Place
    record: Record | None
    """None if it cannot be read, so that the entry will not be used."""
    bytes: int
    used: float
    """Seconds since the epoch when it was last used."""

    @property
    def name(self) -> str:
        """What it is, ``model.pte``; the directory's name where nothing else says."""
        return self.record.name if self.record else self.place.entry

    @property
    def in_use(self) -> bool:
        """Whether a process uses or makes it now."""
        with _claimed(self.place) as ours:
            return not ours


def bound() -> int:
    """Bytes that the store may hold: ``$VOXTRAL_PARITY_CACHE_BYTES``, else 20 GB.

    Anything but a whole number in the variable is an `InputError`.
    """
    text = os.environ.get("VOXTRAL_PARITY_CACHE_BYTES")
    if not text:
        return DEFAULT_BOUND
    if not (text.isdecimal() and len(text) < _MAX_DIGITS):
        raise InputError(
            f"VOXTRAL_PARITY_CACHE_BYTES must be a whole number of bytes (got {brief(text)})"
        )
    return int(text)


def entries(kind: str | None = None) -> list[KeptEntry]:
    """Every entry, or those of one kind, by kind and directory name."""
    kinds = [kind] if kind is not None else [folder.name for folder in _folders(root())]
    found = []
    for kind in kinds:
        for folder in _folders(root() / kind):
            facts = folder / FACTS_FILE
            try:
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                used = (facts if facts.exists() else folder).stat().st_mtime
            except OSError:  # it goes away meanwhile
                continue
            record = None if fault(folder) else Record.read(facts)
            found.append(KeptEntry(Place(kind, folder.name), record, size, used))
    return found


def fault(entry: Path) -> str | None:
    """Why an entry cannot be used, in words; None if its files are as recorded."""
    record = Record.read(entry / FACTS_FILE)
    if record is None:
        return f"it has no readable {FACTS_FILE}"
    for name, size in record.files.items():
        try:
            found = (entry / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found:,} bytes and had {size:,}"
    return None


def set_aside(place: Place) -> None:
    """Take an entry's name from it, for `sweep` to remove; who has its files open keeps them."""
    aside = tempfile.mkdtemp(prefix=f".{place.entry}.", dir=place.path.parent)
    try:
        os.rename(place.path, os.path.join(aside, "entry"))  # whatever it is
    except OSError:
        os.rmdir(aside)
        raise


def sweep(place: Place) -> None:
    """Remove what a killed process left of an entry; the caller holds its `make` lock."""
    for scratch in _folders(place.path.parent, hidden=True):
        if scratch.name.startswith(f".{place.entry}."):
            shutil.rmtree(scratch, ignore_errors=True)


def evict(limit: int | None = None, progress: Callable[[str], None] = lambda text: None) -> None:
    """Bring the store within its bound: what cannot be used first, then the least recently used.

    Entries that any process uses or makes, this one included, stay, even if they alone are more
    than the bound.
    """
    limit = bound() if limit is None else limit
    _sweep_all()
    kept = sorted(entries(), key=lambda entry: (entry.record is not None, entry.used))
    total = sum(entry.bytes for entry in kept)
    gone: list[KeptEntry] = []
    for entry in kept:
        if total <= limit:
            break
        if _delete(entry.place):
            total -= entry.bytes
            gone.append(entry)
    if gone:
        what = gone[0].name if len(gone) == 1 else f"{len(gone)} entries"
        size = decimal(sum(entry.bytes for entry in gone))
        progress(f"evicted {what}, {size}: the cache is bounded to {decimal(limit)}")


def clear(kind: str | None = None) -> tuple[list[KeptEntry], list[KeptEntry]]:
    """Delete every entry, or those of one kind; returns the deleted, and those in use."""
    _sweep_all()
    deleted: list[KeptEntry] = []
    kept: list[KeptEntry] = []
    for entry in entries(kind):
        (deleted if _delete(entry.place) else kept).append(entry)
    return deleted, kept


@contextmanager
def _claimed(place: Place) -> Iterator[bool]:
    """Both locks of an entry, if nobody has one of them; their files go with an absent entry."""
    locks = (place.lock("make"), place.lock("use"))
    with ExitStack() as held:
        for lock in locks:
            handle = try_acquire(lock)
            if handle is None:
                yield False
                return
            held.callback(release, handle)
        yield True
        if not place.path.exists():
            for lock in locks:
                lock.unlink(missing_ok=True)


def _delete(place: Place) -> bool:
    with _claimed(place) as ours:
        if ours:
            if place.path.exists():
                set_aside(place)
            sweep(place)
        return ours


def _sweep_all() -> None:
    """Remove what killed processes left: half-made directories, locks of absent entries."""
    left = {
        Place(folder.name, scratch.name[1:].rpartition(".")[0])
        for folder in _folders(root())
        for scratch in _folders(folder, hidden=True)
    }
    locked = {
        Place(folder.name, lock.stem)
        for folder in _folders(root() / _LOCKS)
        for lock in folder.iterdir()
    }
    for place in left | {place for place in locked if not place.path.exists()}:
        with _claimed(place) as ours:
            if ours:
                sweep(place)


def _folders(parent: Path, *, hidden: bool = False) -> list[Path]:
    if not parent.is_dir():
        return []
    found = (child for child in parent.iterdir() if child.name.startswith(".") == hidden)
    return sorted(child for child in found if child.is_dir())
