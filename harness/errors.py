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

Every message is one sentence that says what, where, expected, got, and what to do.
"""

from __future__ import annotations

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
]


class HarnessError(Exception):
    """Base of all errors that mean "could not judge" (exit code 2)."""


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
