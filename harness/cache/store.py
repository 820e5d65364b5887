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
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from harness.cache import quota
from harness.cache.facts import Facts, differences, key_of, nearest
from harness.cache.locks import acquire, holding, release
from harness.cache.quota import FACTS_FILE, Place, Record
from harness.errors import MachineError
from harness.files import replace_directory

__all__ = ["Entry", "Recipe", "borrowed", "fetch", "find", "hold", "read_or_make", "release_all"]

T = TypeVar("T")

_FORMAT = 1
"""Part of every key; raise it when an entry's files mean something else."""

_held: dict[Path, int] = {}
"""Use locks that this process keeps until it ends, by lock file."""


@dataclass(frozen=True)
class Recipe:
    """What an entry is, and all that it is made from.

    Attributes
    ----------
    kind, name
        ``"artifacts"``, ``"model.pte"``: where it belongs and what it is.
    facts
        Everything that its bytes depend on, as JSON values; any change is another entry.
    brief
        The facts that a list should show, in a few words.
    verb
        What making it is called.
    """

    kind: str
    name: str
    facts: Facts
    brief: str = ""
    verb: str = "making"

    @cached_property
    def place(self) -> Place:
        """Where it is, or would be."""
        key = key_of({"format": _FORMAT, "kind": self.kind, "name": self.name, "facts": self.facts})
        return Place(self.kind, f"{re.sub(r'[^-+.0-9A-Za-z]', '_', self.name)}-{key}")


@dataclass(frozen=True)
class Entry:
    """Directory of an entry, and whether this call made it."""

    path: Path
    made: bool


def fetch(
    recipe: Recipe,
    make: Callable[[Path], None],
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Entry:
    """Find an entry, or make it; it is not evicted while this process lives.

    Of many processes that ask at once, one makes the entry and the others wait. An entry whose
    files are missing or of another size than recorded is made again. What a file *holds* is not
    looked at: that is for the reader to judge.

    Parameters
    ----------
    recipe
        What it is made from.
    make
        Writes the entry's files into the directory that it is given.
    fresh
        Make it even if it is there.
    progress
        Called with what is being done, the reason for a miss included.
    """
    hold(recipe)
    return _ensure(recipe, make, fresh, progress)


@contextmanager
def borrowed(
    recipe: Recipe,
    make: Callable[[Path], None],
    *,
    fresh: bool | str = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[Entry]:
    """`fetch`, for the length of a block: for entries that are read once, or that are many.

    `fresh` may be a sentence: why it is made even if it is there.
    """
    with holding(recipe.place.lock("use"), shared=True):
        yield _ensure(recipe, make, fresh, progress)


def read_or_make(
    recipe: Recipe,
    make: Callable[[Path], None],
    read: Callable[[Path], T | None],
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> T:
    """What `read` finds in the directory of a `borrowed` entry; damaged (None), it is made again.

    Raises
    ------
    MachineError
        What has just been made cannot be read back.
    """
    for again in (True,) if fresh else (False, "the cached one is damaged"):
        with borrowed(recipe, make, fresh=again, progress=progress) as entry:
            found = read(entry.path)
        if found is not None:
            return found
    raise MachineError(f"{recipe.name} was made, and cannot be read back from {entry.path}")


def find(recipe: Recipe) -> Path | None:
    """Directory of the entry that `fetch` would find; None if it would have to make it."""
    path = hold(recipe)
    return path if _found(recipe.place) else None


def hold(recipe: Recipe) -> Path:
    """Keep an entry, made already or not, from being evicted until this process ends."""
    lock = recipe.place.lock("use")
    if lock not in _held:
        _held[lock] = acquire(lock, shared=True)
    return recipe.place.path


def release_all() -> None:
    """Give back every entry that this process fetched, as its end would."""
    while _held:
        release(_held.popitem()[1])


def _ensure(
    recipe: Recipe,
    make: Callable[[Path], None],
    fresh: bool | str,
    progress: Callable[[str], None],
) -> Entry:
    quota.bound()  # a bad setting is answered before the work, not after it
    place, what = recipe.place, f"{recipe.verb} {recipe.name}"
    if not fresh and _found(place):
        return Entry(place.path, made=False)
    with holding(
        place.lock("make"), waiting=lambda: progress(f"waiting for another process that is {what}")
    ):
        if not fresh and _found(place):
            return Entry(place.path, made=False)
        fault = quota.fault(place.path)
        quota.sweep(place)
        progress(f"{what}: {fresh if isinstance(fresh, str) else _reason(recipe, fault)}")
        with replace_directory(place.path) as scratch:
            make(scratch)
            files = {
                file.relative_to(scratch).as_posix(): file.stat().st_size
                for file in sorted(scratch.rglob("*"))
                if file.is_file()
            }
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            record = Record(recipe.name, recipe.brief, recipe.facts, files, now)
            text = json.dumps(asdict(record), indent=1, ensure_ascii=False)
            (scratch / FACTS_FILE).write_text(text, "utf-8")
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


def _reason(recipe: Recipe, fault: str | None) -> str:
    """Why it must be made."""
    if fault is None:
        return "asked for afresh"
    if recipe.place.path.exists():
        return f"the cached one cannot be used, {fault}"
    kept = sorted(quota.entries(recipe.kind), key=lambda entry: entry.used, reverse=True)
    facts = json.loads(json.dumps(recipe.facts))  # as a file gives them back: tuples are lists
    closest = nearest(facts, [e.record.facts for e in kept if e.record and e.name == recipe.name])
    if closest is None:
        return "none in the cache yet"
    return differences(closest, facts) or "made by another version of the cache"
