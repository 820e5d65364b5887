"""Whose error it is: MLX's own refusal of a program, the machine's, or a bug of the harness.

MLX raises three of Python's own types from C++, as a bug of ours may. Its functions are therefore
wrapped (`guarded`), so that what they raise is known by where it was raised; what the operators
and methods of its arrays raise begins with a function in brackets (``[matmul] Last dimension …``).
Whatever else is raised while a program runs says nothing about the program and passes as it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from harness.errors import ExecutionError, HarnessError, MachineError, UnsupportedError

__all__ = ["attributed", "guarded", "prefixed", "refusal", "short"]

_BY_MLX = (ValueError, RuntimeError, IndexError)
_BRACKETED = re.compile(r"\[[A-Za-z_][\w:. ]*\]")
_MACHINE = re.compile(
    r"\[(metal::)?malloc(_or_wait)?\]|DefaultCPUAllocator|alloc_cpu\.cpp"  # no memory
    r"|\[METAL\]|\[metal::Device\]|\bcu(da|blas|dnn)\w*\b.* failed"  # a GPU, or its driver
)
_LONGEST = 300
"""Characters of a foreign message that are quoted."""


def guarded(module: ModuleType) -> Any:
    """`module` of MLX, its functions raising `ExecutionError` and `MachineError` of their own."""
    made = SimpleNamespace()
    for name in dir(module):
        value = getattr(module, name)
        if type(value).__name__ == "nb_func":
            value = _guarded(value)
        elif isinstance(value, ModuleType) and value.__name__.startswith(module.__name__):
            value = guarded(value)
        setattr(made, name, value)
    return made


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except _BY_MLX as error:
            raise refusal(error) from error

    return run


def refusal(error: Exception) -> HarnessError:
    """What a library said of a program's request, as the program's fault or the machine's."""
    said = str(error)
    kind = MachineError if _MACHINE.search(said) else ExecutionError
    return kind(short(said) or type(error).__name__)


def attributed(error: Exception) -> HarnessError | None:
    """`error`, raised by a running program, as one of our tree; None: the harness is at fault."""
    if isinstance(error, HarnessError):
        return error
    said = str(error)
    if type(error) in _BY_MLX and (_BRACKETED.match(said) or _MACHINE.search(said)):
        return refusal(error)
    return None


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
