"""Locks between processes that the kernel drops with the process, kill -9 included.

A lock file says nothing by being there: only a lock held on it does. `filelock` has no shared
lock on every version we support, and "in use" is one, so these are `flock` itself.
"""

from __future__ import annotations

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

    Parameters
    ----------
    path
        Lock file.
    shared
        Whether others may hold it too, as long as they share.
    waiting
        Called once if another process has it.
    """
    handle = try_acquire(path, shared=shared)
    if handle is not None:
        return handle
    waiting()
    while True:
        handle = _open(path)
        try:
            _flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except BaseException:
            os.close(handle)
            raise
        if _is_at(handle, path):
            return handle
        os.close(handle)


def try_acquire(path: Path, *, shared: bool = False) -> int | None:
    """Lock `path` if nobody stands in the way; None if somebody does."""
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        handle = _open(path)
        try:
            _flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        if _is_at(handle, path):
            return handle
        os.close(handle)


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


def _open(path: Path) -> int:
    """A handle on the lock file; `_NONE` where it cannot be made because nothing can be written.

    Raises
    ------
    MachineError
        Something else stands in its place, or the file system refuses.
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


def _flock(handle: int, mode: int) -> None:
    if handle != _NONE:
        fcntl.flock(handle, mode)


def _is_at(handle: int, path: Path) -> bool:
    """Whether the locked file is still the one of that name: eviction removes lock files too."""
    if handle == _NONE:
        return True
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
