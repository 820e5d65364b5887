"""Whose error it is: MLX's own refusal of a program, the machine's, or a bug of the harness.

MLX raises three of Python's own types from C++, and begins what it says with the function in
brackets: ``[reshape] Cannot reshape array of size 6 into shape (4,)``. Whatever else is raised
while a program runs is no statement about the program and passes as it is.
"""

from __future__ import annotations

import re

from harness.errors import ExecutionError, HarnessError, MachineError, UnsupportedError

__all__ = ["attributed", "prefixed", "short"]

_BY_MLX = (ValueError, RuntimeError, IndexError)
_SPOKEN_BY_MLX = re.compile(r"\[[A-Za-z_][\w:. ]*\]")
_NO_MEMORY = re.compile(r"\[(metal::)?malloc(_or_wait)?\]|DefaultCPUAllocator|alloc_cpu\.cpp")
_LONGEST = 300
"""Characters of a foreign message that are quoted."""


def attributed(error: Exception) -> HarnessError | None:
    """`error`, raised while a program ran, as an error of the harness's tree.

    Returns
    -------
    HarnessError or None
        An `ExecutionError` where MLX refused, a `MachineError` where it found no memory, an error
        of the tree as it is; None where the harness itself is at fault.
    """
    if isinstance(error, HarnessError):
        return error
    if type(error) not in _BY_MLX:
        return None
    said = str(error)
    if _NO_MEMORY.search(said):
        return MachineError(short(said))
    return ExecutionError(short(said)) if _SPOKEN_BY_MLX.match(said) else None


def prefixed(place: str, error: HarnessError) -> HarnessError:
    """An error about what a program does, behind the place in the program; others as they are."""
    for kind in (ExecutionError, UnsupportedError, MachineError):
        if isinstance(error, kind):
            return kind(f"{place}: {error}")
    return error


def short(message: str) -> str:
    """The first line of a foreign message, bounded in length."""
    line = (message.strip().splitlines() or [""])[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
