"""Files: where derived ones live, how foreign ones are read, and how our own get written.

Trouble of the file system becomes one sentence here. A file is written whole or not at all, never
over a device, and with the permissions that the user's ``umask`` leaves.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import HarnessError, InputError, MachineError, brief, in_a_sentence

__all__ = [
    "cache_dir",
    "check_directory",
    "check_targets",
    "file_digest",
    "open_file",
    "read_file",
    "read_json",
    "replace_directory",
    "replace_file",
    "write_json",
    "writing",
]

_MAX_TEXT = 64 << 20
"""Bytes of a foreign file that is read whole: ten times the largest tokenizer."""

_SCRATCH_STEM = 60
"""Characters of a name that a temporary name repeats: 255 bytes is the limit of a name."""

_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""What a write refuses with, which names no file."""


def cache_dir() -> Path:
    """Root of the cache, made if missing: ``$VOXTRAL_PARITY_CACHE``, else in the user's cache.

    Where it cannot be made, or its name is not UTF-8, an `InputError`.
    """
    name = os.environ.get("VOXTRAL_PARITY_CACHE")
    if not name:
        import platformdirs

        name = platformdirs.user_cache_dir("voxtral-parity")
    root = Path(name)
    advice = "set VOXTRAL_PARITY_CACHE to a directory that can be written"
    try:
        str(root).encode()
        root.mkdir(parents=True, exist_ok=True)
    except UnicodeEncodeError:
        raise InputError(f"the name of the cache, {root!r}, is not UTF-8; {advice}") from None
    except OSError as error:
        raise InputError(f"the cache {root} cannot be used: {_reason(error)}; {advice}") from None
    return root


def open_file(path: Path, what: str, error: type[HarnessError] = InputError) -> BinaryIO:
    """Open a foreign file for reading, if it is a regular one.

    Parameters
    ----------
    path
        Which; a link is followed.
    what
        What it should be, for the message: ``"voice"``, ``"params.json"``.
    error
        Raised where it is missing, unreadable, a directory, a device or a pipe (which would be
        waited for).
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise error(f"{what} {path} cannot be read: {_reason(problem)}") from problem
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(f"{what} {path} cannot be read: it is not a regular file")
    return os.fdopen(handle, "rb")


def read_file(
    path: Path, what: str, error: type[HarnessError] = InputError, *, limit: int = _MAX_TEXT
) -> bytes:
    """Contents of a foreign file of at most `limit` bytes; parameters as `open_file`."""
    with open_file(path, what, error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise error(
                f"{what} {path} has {size:,} bytes, and at most {limit:,} are read; is it the "
                "right file?"
            )
        try:
            return file.read(size or limit)  # read(n) takes n bytes of memory first
        except OSError as problem:
            raise error(f"{what} {path} cannot be read: {problem.strerror}") from problem


def read_json(
    path: Path, what: str, error: type[HarnessError] = InputError, *, limit: int = _MAX_TEXT
) -> Any:
    """Value of a foreign JSON file in UTF-8; parameters as `read_file`."""
    try:
        return json.loads(read_file(path, what, error, limit=limit).decode("utf-8"))
    except (ValueError, RecursionError) as problem:  # not UTF-8, not JSON, too many digits
        raise error(f"{what} {path} is not readable JSON: {in_a_sentence(problem)}") from problem


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open_file(path, "file") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Yield a temporary name beside `target`; renamed onto it on success, removed on failure.

    Where `target` is a link to a file, that file is replaced and the link stays. A file that is
    replaced hands its permissions on. A directory, a device or a pipe in its place is an
    `InputError`; a `MachineError`, that it or something in the block cannot be written.
    """
    target = _regular(target)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = _scratch(target)
        try:
            scratch.touch(exist_ok=False)
            fresh, old = scratch.stat(), target.stat() if target.exists() else None
            yield scratch
            if old is None and scratch.stat().st_ino != fresh.st_ino:
                old = fresh  # safetensors puts a file of its own there
            if old is not None:
                os.chmod(scratch, stat.S_IMODE(old.st_mode))
            os.replace(scratch, target)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Write what strict JSON has to `path` in UTF-8, by `replace_file`."""
    with replace_file(path) as scratch:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
        scratch.write_text(text + "\n", encoding="utf-8")


@contextmanager
def replace_directory(target: Path) -> Iterator[Path]:
    """Yield a new directory beside `target`; renamed to it on success, removed on failure.

    `target` must not exist: directories cannot be replaced in one step, so callers hold a
    lock and make each one once. Raises `MachineError` as `replace_file` does.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = _scratch(target, len(target.name))
        try:
            scratch.mkdir()
            yield scratch
            os.rename(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def check_targets(*paths: Path | None) -> None:
    """Refuse outputs that could not be written, before the work that they wait for.

    Makes missing parent directories; None stands for a file that nobody asked for. A path is
    refused, by an `InputError`, if it is empty, too long, a directory, a device, in a directory
    that cannot be made or written, or the same file as another of them. What a full disk refuses
    shows only later.
    """
    seen: dict[str, Path] = {}
    for path in filter(None, paths):
        target = _regular(path)
        check_directory(target.parent, path)
        _regular(path)  # again: only in a directory that exists is a name found too long
        other = seen.setdefault(os.path.realpath(target), path)
        if other is not path:
            raise InputError(f"two outputs are the same file: {other} and {path}; name two")
        if target.exists() and not os.access(target, os.W_OK):
            raise InputError(f"cannot write {path}: the file is read-only")


def check_directory(directory: Path, path: Path | None = None) -> None:
    """Refuse, by an `InputError`, a directory in which no file can be made; make it if missing.

    `path` is what the user named, where that is not the directory itself.
    """
    scratch = _scratch(directory / "output")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        scratch.touch(exist_ok=False)
        scratch.unlink()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path or directory}: {_reason(error)}") from None


def _regular(path: Path) -> Path:
    """The file that writing to `path` would write to, which may not exist yet."""
    try:
        real = Path(os.path.realpath(path))
        mode = os.stat(path).st_mode
    except FileNotFoundError:  # a link to nothing, too, is a file to come
        return real
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {brief(str(path), 200)}: {_reason(error)}") from None
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise InputError(f"cannot write {path}: it is {kind}, not a file")
    return real


def _scratch(target: Path, stem: int = _SCRATCH_STEM) -> Path:
    return target.with_name(f".{target.name[:stem]}.{os.urandom(4).hex()}")


def _reason(error: Exception) -> str:
    if isinstance(error, FileExistsError):  # of a directory that had to be made
        return "it is not a directory"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say of which output the file system's refusal is; what else fails in the block passes."""
    try:
        yield
    except OSError as error:
        files = (error.filename, error.filename2)  # of a copy: what is read, and what is written
        named = [Path(os.fsdecode(f)) for f in files if isinstance(f, (str, bytes, os.PathLike))]
        ours = any(file.is_relative_to(target.parent) for file in named)
        if ours or (not named and error.errno in _WRITING):
            raise MachineError(f"cannot write {target}: {_reason(error)}") from error
        raise
    except Exception as error:
        # safetensors opens and writes by itself, and puts the system's refusal into words.
        theirs = type(error).__name__ == "SafetensorError"
        number = _OS_ERROR.search(str(error)) if theirs else None
        if number is None:
            raise
        raise MachineError(f"cannot write {target}: {os.strerror(int(number[1]))}") from error


_OS_ERROR = re.compile(r"\(os error (\d+)\)")
