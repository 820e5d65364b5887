"""Memory of the process: keep what is freed for the next tensor, and say what it came to."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

__all__ = ["give_back_freed_memory", "keep_freed_memory", "pass_over_imports", "peak_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

_MOST = 1 << 30
"""Bytes: larger blocks are still mapped, and no more than this stays at the heap's end."""


def keep_freed_memory() -> bool:
    """Ask the C library, for the whole process; returns whether it is one that understands.

    glibc maps large blocks afresh and unmaps them when they are freed, so that every temporary of
    tens of megabytes is zeroed page by page by the kernel: 7.0 of the 10.2 s of CPU time that
    quantising a 3072 × 9216 layer takes on a virtual machine.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST) and mallopt(_M_TRIM_THRESHOLD, _MOST))


def give_back_freed_memory() -> None:
    """Give what was kept back, where the C library can.

    Between pieces of work that each need much: what is left of one lies scattered, and the next
    would not find room in it.
    """
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def pass_over_imports() -> None:
    """Let the garbage collector leave alone what is there by now, for the whole process.

    torch and executorch are a million objects, which each full collection walks: where one small
    program after another is lowered, that takes a third of the time. Collections are fewer, too: of
    700 new objects, Python's own number, hardly any are cycles that came free.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def _glibc(name: str) -> Any:
    """A function that glibc has and other C libraries do not; None there."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def peak_memory() -> int | None:
    """The most bytes that this process has held, mapped files included; None where unknown."""
    if sys.platform == "linux":
        # ru_maxrss starts at the peak of the process that started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
