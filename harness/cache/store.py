"""Entries that are made once and found again by what they were made from.

On disk, under `cache_dir` / ``store``::

    <kind>/<name>-<key>/…             an entry: its files, whole or not there at all
    <kind>/<name>-<key>/facts.json    what it was made from, its files' sizes, when
    <kind>/.<name>-<key>.<random>/    being made or deleted; swept once its maker is gone
    .locks/<kind>/<name>-<key>.make   held by the process that makes (or deletes) the entry
    .locks/<kind>/<name>-<key>.use    shared by the processes that use it: it is not evicted

The time an entry was last used is the modification time of its `facts.json`.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cache import quota
from harness.cache.facts import Facts, differences, key_of, nearest
from harness.cache.locks import acquire, holding, release
from harness.cache.quota import FACTS_FILE, Place, Record
from harness.files import replace_directory

__all__ = ["Entry", "borrowed", "fetch", "find", "path_of", "release_all"]

_FORMAT = 1
"""Part of every key; raise it when an entry's files mean something else."""

_held: dict[Path, int] = {}
"""Use locks that this process keeps until it ends, by lock file."""


@dataclass(frozen=True)
class Entry:
    """One entry of the store.

    Attributes
    ----------
    path
        Its directory.
    made
        Whether this call made it.
    """

    path: Path
    made: bool


def fetch(
    kind: str,
    name: str,
    facts: Facts,
    make: Callable[[Path], None],
    *,
    brief: str = "",
    fresh: bool = False,
    verb: tuple[str, str] = ("make", "making"),
    progress: Callable[[str], None] = lambda text: None,
) -> Entry:
    """Find the entry made from `facts`, or make it; it is not evicted while this process lives.

    Of many processes that ask at once, one makes the entry and the others wait. An entry whose
    files are missing or of another size than recorded is made again. What a file *holds* is not
    looked at: that is for the reader to judge.

    Parameters
    ----------
    kind, name
        ``"artifacts"``, ``"model.pte"``: where it belongs and what it is.
    facts
        Everything that its bytes depend on, as JSON values; any change is another entry.
    make
        Writes the entry's files into the directory that it is given.
    brief
        The facts that a list should show, in a few words.
    fresh
        Make it even if it is there.
    verb
        What making it is called, plain and in progress, for `progress`.
    progress
        Called with what is being done, the reason for a miss included.
    """
    facts = _plain(facts)
    place = _place(kind, name, facts)
    _hold(place)
    return _ensure(place, name, facts, make, brief, fresh, verb, progress)


def find(kind: str, name: str, facts: Facts) -> Path | None:
    """Directory of the entry that `fetch` would find; None if it would have to make it."""
    place = _place(kind, name, _plain(facts))
    _hold(place)
    return place.path if _found(place) else None


def path_of(kind: str, name: str, facts: Facts) -> Path:
    """Directory of the entry that `fetch` would find or make; it may be gone at any time."""
    return _place(kind, name, _plain(facts)).path


@contextmanager
def borrowed(
    kind: str,
    name: str,
    facts: Facts,
    make: Callable[[Path], None],
    *,
    brief: str = "",
    fresh: bool = False,
    verb: tuple[str, str] = ("make", "making"),
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[Entry]:
    """`fetch`, for the length of a block: for entries that are read once, or that are many."""
    facts = _plain(facts)
    place = _place(kind, name, facts)
    with holding(place.use, shared=True):
        yield _ensure(place, name, facts, make, brief, fresh, verb, progress)


def _hold(place: Place) -> None:
    """Keep an entry from being evicted until this process ends."""
    if place.use not in _held:
        _held[place.use] = acquire(place.use, shared=True)


def release_all() -> None:
    """Give back every entry that this process fetched, as its end would."""
    while _held:
        release(_held.popitem()[1])


def _plain(facts: Facts) -> Facts:
    """The facts as a file gives them back: tuples are lists."""
    plain: Facts = json.loads(json.dumps(facts))
    return plain


def _place(kind: str, name: str, facts: Facts) -> Place:
    key = key_of({"format": _FORMAT, "kind": kind, "name": name, "facts": facts})
    return Place(quota.root(), kind, f"{re.sub(r'[^-+.0-9A-Za-z]', '_', name)}-{key}")


def _ensure(
    place: Place,
    name: str,
    facts: Facts,
    make: Callable[[Path], None],
    brief: str,
    fresh: bool,
    verb: tuple[str, str],
    progress: Callable[[str], None],
) -> Entry:
    quota.bound()  # a bad setting is answered before the work, not after it
    if not fresh and _found(place):
        return Entry(place.path, made=False)
    with holding(
        place.make, waiting=lambda: progress(f"waiting for another process to {verb[0]} {name}")
    ):
        if not fresh and _found(place):
            return Entry(place.path, made=False)
        fault = quota.fault(place.path)
        quota.sweep(place)
        reason = _reason(place, name, facts, fault)
        progress(f"{verb[1]} {name}: {reason}")
        with replace_directory(place.path) as scratch:
            make(scratch)
            record = Record(name, brief, facts, _sizes(scratch), _now())
            record.write(scratch / FACTS_FILE)
            if place.path.exists():
                quota.set_aside(place)
        quota.sweep(place)
    quota.evict(progress=progress)
    return Entry(place.path, made=True)


def _found(place: Place) -> bool:
    """Whether the entry is there and whole; if so, it counts as used now."""
    if quota.fault(place.path) is not None:
        return False
    try:
        os.utime(place.path / FACTS_FILE)
    except FileNotFoundError:  # set aside since: another process makes it afresh
        return False
    except OSError:  # a cache that cannot be written still serves readers
        pass
    return True


def _reason(place: Place, name: str, facts: Facts, fault: str | None) -> str:
    """Why it must be made."""
    if fault is None:
        return "asked for afresh"
    if place.path.exists():
        return f"the cached one cannot be used, {fault}"
    kept = sorted(quota.entries(place.kind), key=lambda entry: entry.used, reverse=True)
    records = [entry.record for entry in kept if entry.record is not None]
    closest = nearest(facts, [record.facts for record in records if record.name == name])
    if closest is None:
        return "none in the cache yet"
    return differences(closest, facts) or "made by another version of the cache"


def _sizes(directory: Path) -> dict[str, int]:
    return {
        file.relative_to(directory).as_posix(): file.stat().st_size
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
