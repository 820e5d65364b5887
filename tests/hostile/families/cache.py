"""The cache is no directory, cannot be written, is full, or holds damaged entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.case import DONE, EITHER, REFUSED, Case, Desk
from tests.hostile.families.checkpoint import replace

__all__ = ["cases"]

_COMMANDS = {
    "check": ["check", "token_embedding"],
    "synth": ["synth", "--text", "Hello.", "--max-new-tokens", "2", "--output", "out.wav"],
    "export": ["export", "--output-dir", "out"],
    "golden check": ["golden", "check"],
    "cache": ["cache"],
    "cache clear": ["cache", "clear", "--all"],
    "doctor": ["doctor"],
}

_ROOTS: dict[str, Callable[[Desk], str]] = {}


def cases() -> Iterator[Case]:
    """A cache that cannot be used is one sentence; a damaged entry is made again."""
    for name, make in _ROOTS.items():
        for command, words in _COMMANDS.items():
            listed = command.startswith("cache") and name in _USABLE | _EMPTY
            if command == "doctor" or listed:
                codes = EITHER  # says what is wrong, or that there is nothing
            elif name == "not UTF-8, warm":
                codes = EITHER
            elif name in _USABLE:
                codes = DONE
            else:
                codes = REFUSED
            yield Case("cache", f"{command} {name}", _rooted(words, make), codes, seconds=60)
    for number in ("", "0", "-1", "many", "1e9", "2GB", str(2**70), "9" * 5000):
        label = number if len(number) < 30 else "5,000 digits"
        for command in ("check", "cache"):
            set_up = _bounded(_COMMANDS[command], number)
            yield Case("cache", f"{command} bytes {label!r}", set_up, EITHER, seconds=60)
    for damage, change in _DAMAGES.items():
        for kind in ("json", "npz", "pte", "safetensors", "lock", "directory"):
            for command in ("check", "cache"):
                set_up = _damaged(_COMMANDS[command], kind, change)
                # A flipped bit does not change a file's size, which is what is looked at. A folder
                # of locks that is a loop is the user's to delete, as the message says.
                either = damage in ("unreadable", "flipped") or (kind, damage) == (
                    "directory",
                    "loop",
                )
                codes = EITHER if either else DONE
                yield Case("cache", f"{command} {kind} {damage}", set_up, codes, seconds=60)
    for name in ("stray file", "stray directory", "stray link", "stray name"):
        for command in ("check", "cache", "cache clear"):
            set_up = _strays(_COMMANDS[command], name)
            yield Case("cache", f"{command} {name}", set_up, DONE, seconds=60)


def _rooted(words: list[str], make: Callable[[Desk], str]) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        desk.environment["VOXTRAL_PARITY_CACHE"] = make(desk)
        desk.outputs.append(desk.directory / "out.wav")
        if words[0] in ("check", "synth"):
            return [*words, "--json", str(desk.old_report())]
        return words

    return set_up


def _bounded(words: list[str], number: str) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        desk.cache()
        desk.environment["VOXTRAL_PARITY_CACHE_BYTES"] = number
        return words

    return set_up


def _damaged(
    words: list[str], kind: str, change: Callable[[Path], None]
) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        root = desk.cache()
        for path in sorted(root.rglob("*")):
            is_kind = path.is_dir() and path.parent.parent.name == "store"
            if kind != "directory":
                is_kind = path.is_file() and path.name.endswith(kind)
            if is_kind and os.path.lexists(path):
                change(path)
        return words

    return set_up


def _strays(words: list[str], name: str) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        root = desk.cache()
        for parent in (root, root / "store", *(root / "store").glob("[a-z]*")):
            path = parent / ("na\udcefve\n" if name == "stray name" else "stray")
            if name == "stray directory":
                path.mkdir()
            elif name == "stray link":
                path.symlink_to("stray")
            else:
                path.write_text("stray")
        return words

    return set_up


def _as_file(path: Path) -> None:
    _gone(path)
    path.write_text("a file")


def _as_directory(path: Path) -> None:
    _gone(path)
    path.mkdir()


def _as_loop(path: Path) -> None:
    _gone(path)
    path.symlink_to(path.name)


def _gone(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _cut(path: Path) -> None:
    if path.is_file():
        replace(path, path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path) -> None:
    if path.is_file():
        data = bytearray(path.read_bytes() or b"x")
        for place in range(0, len(data), max(1, len(data) // 16)):
            data[place] ^= 0x10
        replace(path, bytes(data))


def _other(path: Path) -> None:
    if path.is_file():
        replace(path, '{"bytes": [], "sha256": null, "key": "\\ud800"}')


def _unreadable(path: Path) -> None:
    if path.is_file():
        replace(path, path.read_bytes())
    path.chmod(0)


_DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": _cut,
    "flipped": _flipped,
    "of another kind": _other,
    "gone": _gone,
    "directory": _as_directory,
    "loop": _as_loop,
    "unreadable": _unreadable,
}


def _root(name: str) -> Callable[[Callable[[Desk], str]], Callable[[Desk], str]]:
    def keep(make: Callable[[Desk], str]) -> Callable[[Desk], str]:
        _ROOTS[name] = make
        return make

    return keep


@_root("a file")
def _file_root(desk: Desk) -> str:
    path = desk.path("cache")
    path.write_text("a file")
    return str(path)


@_root("a loop")
def _loop_root(desk: Desk) -> str:
    path = desk.path("cache")
    path.symlink_to("cache")
    return str(path)


@_root("below a file")
def _below_root(desk: Desk) -> str:
    return f"{_file_root(desk)}/cache"


@_root("in proc")
def _proc_root(desk: Desk) -> str:
    return "/proc/cache"


@_root("a name of 300")
def _long_root(desk: Desk) -> str:
    return str(desk.directory / ("c" * 300))


@_root("full")
def _full_root(desk: Desk) -> str:
    if desk.world.full_disk is None:
        desk.file_size = 64
        return str(desk.path("cache"))
    return str(desk.world.full_disk / desk.directory.parent.name)


@_root("read-only and cold")
def _locked_root(desk: Desk) -> str:
    path = desk.path("cache/x").parent
    path.chmod(0o555)
    return str(path)


@_root("no room for files")
def _short_root(desk: Desk) -> str:
    desk.file_size = 4096
    return str(desk.path("cache"))


@_root("not UTF-8, warm")
def _named_root(desk: Desk) -> str:
    path = desk.cache()
    named = path.with_name("na\udcefve-\udcff")
    path.rename(named)
    return str(named)


@_root("read-only, warm")
def _warm_locked_root(desk: Desk) -> str:
    path = desk.cache()
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o555)
    return str(path)


@_root("a link, warm")
def _link_root(desk: Desk) -> str:
    desk.cache()
    path = desk.path("link")
    path.symlink_to("cache")
    return str(path)


_USABLE = {"not UTF-8, warm", "read-only, warm", "a link, warm"}

_EMPTY = {"full", "read-only and cold", "no room for files"}
"""Folders that nothing can be put in, and that hold nothing."""
"""Roots with which the work can be done."""
