"""What can go wrong, as a tree.

Exceptions are for work that cannot be judged; a mismatch is a verdict, never an exception::

    HarnessError            exit code 2: could not judge
    ├── InputError          the user's input is wrong: a path, a name, an option, an array
    │   └── CheckpointError   … a checkpoint directory or a file in it
    ├── ProgramError        a .pte cannot be read: truncated, damaged, not ours
    ├── ExecutionError      the program itself refused to run (judged: the export is wrong)
    ├── UnsupportedError    a program needs what this executor does not have: a Metal kernel
    ├── UnavailableError    a component this machine does not have, with what would provide it
    └── MachineError        the machine failed: no memory, no disk, a time-out, a dead process

Only MLX's or ExecuTorch's own refusal is an `ExecutionError`: an observed one becomes a failed
verdict. Any other error of this tree, and any other exception, makes a verdict *unjudged*.

A `SilentOddityWarning` is no error: a run followed what upstream's runtime does without a word.

Every message is one sentence that says what, where, expected, got, and what to do. Its length is
bounded, whatever a foreign file put into it: `brief` shortens a value, `HarnessError` the whole.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ExecutionError",
    "HarnessError",
    "InputError",
    "MachineError",
    "ProgramError",
    "SilentOddityWarning",
    "UnavailableError",
    "UnsupportedError",
    "brief",
    "in_a_sentence",
    "one_of",
    "printable",
]

_MAX_MESSAGE = 560
"""Characters of a message; of a longer one the middle is left out."""

_MAX_DIGITS = 40


def brief(value: object, limit: int = 80) -> str:
    """`repr` of a value for a message: bounded in length, and in time for a hostile value."""
    if isinstance(value, int) and value.bit_length() > 3 * _MAX_DIGITS:
        return f"an integer of {value.bit_length():,} bits"  # its digits may not even be printed
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = limit
    text = short.repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_of(what: str, value: str, known: Iterable[str]) -> None:
    """Refuse, by an `InputError`, a value that is none of those `known`; suggest the nearest."""
    names = tuple(known)
    if value not in names:
        near = difflib.get_close_matches(value[:80], names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"{what} must be one of {', '.join(names)} (got {brief(value)}){hint}")


def _bounded(text: str) -> str:
    if len(text) <= _MAX_MESSAGE:
        return text
    head, tail = text[: _MAX_MESSAGE // 2], text[-_MAX_MESSAGE // 4 :]
    return f"{head} … ({len(text):,} characters) … {tail}"


def in_a_sentence(error: BaseException) -> str:
    """What an exception of any kind says, on one line, without codes that move a terminal."""
    if isinstance(error, OSError) and error.strerror:
        names = dict.fromkeys(n for n in (error.filename, error.filename2) if n is not None)
        where = "".join(f"{name}: " for name in names)
        text = f"{where}{error.strerror}"
    elif isinstance(error, MemoryError):
        text = f"out of memory ({error})" if str(error) else "out of memory"
    elif isinstance(error, HarnessError):
        text = str(error)
    elif isinstance(error, RecursionError):
        text = "the input is nested too deeply"
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return printable(" ".join(_bounded(text).split()))


def printable(text: str) -> str:
    """`text` on one line, without codes that move a terminal: these are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class HarnessError(Exception):
    """Base of all errors that mean "could not judge" (exit code 2)."""

    def __str__(self) -> str:
        return _bounded(super().__str__())


class InputError(HarnessError):
    """The user's input is wrong: a path, a name, an option or an array."""


class CheckpointError(InputError):
    """A checkpoint directory, or a file in it, is missing, damaged or of another shape."""


class ProgramError(HarnessError):
    """A program file cannot be read: truncated, damaged, or of an unknown form."""


class ExecutionError(HarnessError):
    """A program was read and refused to run, as the native runtime would refuse it.

    Observed, it becomes a failed verdict, since an export that cannot run is wrong.
    """


class UnsupportedError(HarnessError):
    """A program needs something that this executor does not have: a Metal kernel."""


class UnavailableError(HarnessError):
    """A component is not on this machine; the message says what would provide it."""


class MachineError(HarnessError):
    """The machine failed the work: no memory, no disk, a time-out, a process that died."""


class SilentOddityWarning(UserWarning):
    """Upstream's runtime does something odd here without a word, and this run followed it."""
