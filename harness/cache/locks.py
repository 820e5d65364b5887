"""Locks between processes that the kernel drops with the process, kill -9 included.

A lock file says nothing by being there: only a lock held on it does. `filelock` has no shared
lock on every version we support, and "in use" is one, so these are `flock` itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import MachineError

__all__ = ["acquire", "holding", "release", "try_acquire"]

_NONE = -1
"""Stands for a lock in a cache that cannot be written: it serves readers, and is not evicted."""

_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def acquire(path: Path, *, shared: bool, waiting: Callable[[], None] = lambda: None) -> int:
    """Lock `path`, made if missing; returns a handle for `release`.

    If another process has it, `waiting` is called once. `shared`: others may share it.
    """
    handle = try_acquire(path, shared=shared)
    if handle is None:
        waiting()
        handle = _lock(path, shared, 0)
    return handle


def try_acquire(path: Path, *, shared: bool = False) -> int | None:
    """Lock `path` if nobody stands in the way; None if somebody does."""
    try:
        return _lock(path, shared, fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def release(handle: int) -> None:
    """Give a lock back, also if a forked child still has the handle open."""
    if handle != _NONE:
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


@contextmanager
def holding(
    path: Path, *, shared: bool = False, waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold `path` for the length of a block."""
    handle = acquire(path, shared=shared, waiting=waiting)
    try:
        yield
    finally:
        release(handle)


def _lock(path: Path, shared: bool, flags: int) -> int:
    while (handle := _open(path)) != _NONE:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | flags)
            # Is it still the file of that name? Eviction removes lock files too.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    return _NONE


def _open(path: Path) -> int:
    """A handle on the lock file; `_NONE` where it cannot be made because nothing can be written.

    Something else in its place, or a file system that refuses, is a `MachineError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise MachineError(
                f"the cache's lock {path} cannot be made: {error.strerror}; delete {path.parent}"
            ) from error
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _NONE
