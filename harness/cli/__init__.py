"""The command line: `voxtral-parity --help`. The only package that knows all the others.

`main` is the one place where exceptions become exit codes; commands are imported when they are
asked for (see `commands`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

__all__ = ["main"]

_MAX_COLUMNS = 1000
"""Of a terminal; tables pad every line to its width."""

_INTERRUPTED = "interrupted"


def main() -> None:
    """Run the command line and exit: 0 passed, 1 a mismatch, 2 could not judge, and why.

    Only a command's own verdict is 1. Whatever else ends the run, a full disk, Ctrl-C or a reader
    of standard output that went away included, is one sentence on stderr and 2. Faults of the
    harness itself name their place; ``VOXTRAL_PARITY_TRACEBACK=1`` shows the whole of it.
    """
    interrupts: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGINT, interrupt)
        _prepare_streams()
        from harness.cli.commands import run

        code = run(sys.argv[1:])
        sys.stdout.flush()
        error = None
    except BaseException as problem:
        code, error = 2, problem
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if interrupts:
        code = 2
        _say(_INTERRUPTED)
    elif error is not None:
        code = _tell(error)
    _close_stdout()
    sys.exit(code)


def _prepare_streams() -> None:
    """Let every character be written, and no width be absurd."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        raise OSError("standard output is closed")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    columns = os.environ.get("COLUMNS", "")
    if not (columns.isdecimal() and len(columns) < 9 and 0 < int(columns) <= _MAX_COLUMNS):
        os.environ.pop("COLUMNS", None)


def _tell(error: BaseException) -> int:
    """Say in one sentence what ended the run; returns the exit code."""
    if isinstance(error, SystemExit) and error.code in (None, 0, 2):
        return 2 if error.code else 0
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as unwritable:
        error = unwritable
    if isinstance(error, (BrokenPipeError, SystemExit)):  # by which rich and typer hide it
        _say("standard output was closed before the end of what was to be said")
    elif hasattr(error, "show") and hasattr(error, "format_message"):
        _say_usage(error)
    else:
        _say_failure(error)
    return 2


def _say_usage(error: Any) -> None:
    """A command line that cannot be parsed; an empty one of a group of commands gets its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    context = getattr(error, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context is not None else ""
    from harness.errors import HarnessError, in_a_sentence

    _say(in_a_sentence(HarnessError(error.format_message())).rstrip(".") + hint)


def _say_failure(error: BaseException) -> None:
    from harness.errors import HarnessError, in_a_sentence

    sentence = in_a_sentence(error)
    if not isinstance(error, (HarnessError, OSError, MemoryError, RecursionError)):
        sentence = f"internal error at {_place(error)}: {sentence}"
    _say(sentence)
    if os.environ.get("VOXTRAL_PARITY_TRACEBACK"):
        import traceback

        with contextlib.suppress(OSError):
            traceback.print_exception(error)


def _place(error: BaseException) -> str:
    """The line of ours that an exception came through last."""
    home, where = os.path.dirname(os.path.dirname(__file__)), "an unknown place"
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(home + os.sep):
            where = f"harness/{os.path.relpath(file, home)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        colour = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
        print(f"{colour[0]}voxtral-parity: {sentence}{colour[1]}", file=sys.stderr, flush=True)


def _close_stdout() -> None:
    """Leave nothing for the interpreter to write at its end, where a failure would be 120."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
