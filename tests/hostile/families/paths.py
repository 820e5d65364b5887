"""Every path that a command takes, and everything that can be at a path."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.case import EITHER, REFUSED, Case, Desk, file_kind
from tests.hostile.commands import KEEPS, SLOW, Parameter, parameters

__all__ = ["cases"]

_OUTPUTS = {
    "--json", "--output", "--codes", "--output-dir", "--report", "--junit", "--markdown", "--html",
    "--observe-only", "--bpte", "--repro",
}  # fmt: skip

_NEW = {"--golden-dir"}
"""Directories that must not exist."""

_ABSENT = {"missing", "not UTF-8", "control characters"}
"""Names under which nothing is."""


def cases() -> Iterator[Case]:
    """What is no such input is refused; a target is written, or refused, as it can be."""
    for parameter in parameters("path"):
        output = _is_output(parameter)
        for kind, make in (_TARGETS if output else _SOURCES).items():
            writable = output and (kind in _WRITABLE or (parameter.flag, kind) in _ALSO_WRITABLE)
            writable = writable or (parameter.flag in _NEW and kind in _ABSENT)
            yield Case(
                "paths",
                f"{parameter.command} {parameter.flag} {kind}",
                _set_up(parameter, make),
                EITHER if writable else REFUSED,
                seconds=60 if writable or parameter.command in SLOW else 10,
            )


def _set_up(parameter: Parameter, make: Callable[[Desk], str]) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        value = make(desk)
        words = parameter.arguments(desk, value)
        replaced = parameter.flag != "--json" and parameter.command not in KEEPS
        if replaced and "--json" in _flags(parameter.command):
            words += ["--json", str(desk.old_report())]
        if _is_output(parameter):
            path = Path(desk.directory, value)
            desk.outputs.append(path)
            kind = file_kind(path)
            desk.kinds[path] = None if kind == stat.S_IFREG else kind
        return words

    return set_up


def _is_output(parameter: Parameter) -> bool:
    return parameter.flag in _OUTPUTS or (parameter.command, parameter.flag) == (
        "bundle pack",
        "file",
    )


def _flags(command: str) -> set[str]:
    return {p.flag for p in parameters("path") if p.command == command}


def _missing(desk: Desk) -> str:
    return str(desk.directory / "absent" / "inner")


def _directory(desk: Desk) -> str:
    path = desk.path("directory/inner/x").parent
    return str(path)


def _file(desk: Desk) -> str:
    path = desk.path("file")
    path.write_text("neither JSON nor a program\n")
    return str(path)


def _empty_file(desk: Desk) -> str:
    path = desk.path("empty")
    path.touch()
    return str(path)


def _below_a_file(desk: Desk) -> str:
    return f"{_file(desk)}/inner"


def _fifo(desk: Desk) -> str:
    path = desk.path("fifo")
    os.mkfifo(path)
    return str(path)


def _socket(desk: Desk) -> str:
    here = Path.cwd()
    os.chdir(desk.directory)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("socket")
    finally:
        os.chdir(here)
    return str(desk.path("socket"))


def _device(minor: int, name: str) -> Callable[[Desk], str]:
    def make(desk: Desk) -> str:
        path = desk.path(name)
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        except PermissionError:
            return f"/dev/{name}"
        path.chmod(0o666)
        return str(path)

    return make


def _unreadable(desk: Desk) -> str:
    path = desk.path("unreadable")
    path.write_text("{}")
    path.chmod(0)
    return str(path)


def _in_locked_directory(desk: Desk) -> str:
    path = desk.path("locked/inner")
    path.write_text("{}")
    path.parent.chmod(0)
    return str(path)


def _read_only_directory(desk: Desk) -> str:
    path = desk.path("read-only/inner.json")
    path.parent.chmod(0o555)
    return str(path)


def _empty_text(desk: Desk) -> str:
    return ""


def _long_name(desk: Desk) -> str:
    return str(desk.directory / ("n" * 300))


def _long_path(desk: Desk) -> str:
    return "/".join(["n" * 200] * 25)


def _not_utf8(desk: Desk) -> str:
    return os.fsdecode(b"na\xefve-\xff")


def _control(desk: Desk) -> str:
    return "line\nbreak [bold red]x[/] \x1b[31m"


def _loop(desk: Desk) -> str:
    path = desk.path("loop")
    path.symlink_to("loop")
    return str(path)


def _dangling(desk: Desk) -> str:
    path = desk.path("dangling")
    path.symlink_to("nowhere/at/all")
    return str(path)


def _link_to_file(desk: Desk) -> str:
    path = desk.path("link.json")
    desk.path("aim.json").write_text("{}")
    path.symlink_to("aim.json")
    return str(path)


def _proc(desk: Desk) -> str:
    return "/proc/self/nothing"


def _full_disk(desk: Desk) -> str:
    if desk.world.full_disk is None:
        desk.file_size = 16
        return str(desk.path("short.json"))
    return str(desk.world.full_disk / f"{desk.directory.parent.name}.json")


def _short_files(desk: Desk) -> str:
    """As a quota would have it: no file of more than 16 bytes."""
    desk.file_size = 16
    return str(desk.path("short.json"))


_SHARED: dict[str, Callable[[Desk], str]] = {
    "fifo": _fifo,
    "socket": _socket,
    "null device": _device(3, "null"),
    "full device": _device(7, "full"),
    "unreadable": _unreadable,
    "in a locked directory": _in_locked_directory,
    "below a file": _below_a_file,
    "empty text": _empty_text,
    "name of 300": _long_name,
    "path of 5,000": _long_path,
    "loop": _loop,
    "in proc": _proc,
    "not UTF-8": _not_utf8,
    "control characters": _control,
    "dangling link": _dangling,
}

_SOURCES = {
    **_SHARED,
    "missing": _missing,
    "directory": _directory,
    "file": _file,
    "empty file": _empty_file,
    "zero device": _device(5, "zero"),
}

_TARGETS = {
    **_SHARED,
    "missing": _missing,
    "directory": _directory,
    "read-only directory": _read_only_directory,
    "link to a file": _link_to_file,
    "full disk": _full_disk,
    "short files": _short_files,
}

_WRITABLE = {
    "control characters",
    "dangling link",
    "fifo",
    "full device",
    "link to a file",
    "missing",
    "not UTF-8",
    "null device",
    "unreadable",
}
"""Targets where writing, or refusing to write, are both right."""

_ALSO_WRITABLE = {
    (flag, kind)
    for flag in ("--output-dir", "--report", "--bpte", "--repro")
    for kind in ("directory", "empty text")
}
_ALSO_WRITABLE |= {("--repro", kind) for kind in ("full disk", "short files")}
"""Where no node is wrong, no repro is written."""
