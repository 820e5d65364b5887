"""The command line: `voxtral-parity --help`. The only package that knows all the others.

`main` is the one place where exceptions become exit codes; commands are imported when they are
asked for (see `commands`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

__all__ = ["main"]

_MAX_COLUMNS = 1000
"""Of a terminal; tables pad every line to its width."""

_INTERRUPTED = "interrupted"

_AGAIN_SECONDS = 1.0

_SIGNALS = [signal.SIGINT, signal.SIGTERM]
"""Each ends a run in order, so that no program that it started goes on."""

# A terminal that is closed, too, unless `nohup` has the run outlive it; Windows has none.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
    _SIGNALS.append(signal.SIGHUP)


def main() -> None:
    """Run the command line and exit: 0 passed, 1 a mismatch, 2 could not judge, and why.

    Only a command's own verdict is 1. Whatever else ends the run, a full disk, Ctrl-C, SIGTERM,
    SIGHUP or a reader of standard output that went away included, is one sentence on stderr and 2.
    Faults of the harness itself name their place; ``VOXTRAL_PARITY_TRACEBACK=1`` shows the whole.
    """
    interrupts: list[int] = []
    started = time.time()

    def interrupt(number: int, frame: object) -> None:
        interrupts.append(number)
        _remind(_AGAIN_SECONDS)
        raise KeyboardInterrupt

    try:
        for number in _SIGNALS:
            signal.signal(number, interrupt)
        _prepare_streams()
        from harness.cli.commands import run

        code = run(sys.argv[1:])
        sys.stdout.flush()
        error = None
    except BaseException as problem:
        if interrupts:
            _remind(0)
        code, error = 2, problem
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if interrupts:
        _remind(0)
    sentence = None
    if interrupts:
        code, sentence = 2, _INTERRUPTED
    elif error is not None:
        code, sentence = _explain(error)
    if sentence is not None:
        _say(sentence)
        try:
            _write_failure(sentence, started)
        except Exception:
            if not interrupts:
                raise
            _write_failure_elsewhere(sentence, started)
    _close_stdout()
    sys.exit(code)


def _remind(seconds: float) -> None:
    """Raise KeyboardInterrupt every so many seconds, unless one is on its way; 0: no more.

    Python drops an exception that comes while C code calls back into it, such as a library that is
    being imported: the run would go on.
    """

    def again(number: int, frame: object) -> None:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # nobody cleans up after it
            raise KeyboardInterrupt

    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, again if seconds else signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)


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


def _explain(error: BaseException) -> tuple[int, str | None]:
    """The exit code, and in one sentence what ended the run; None if it has been said."""
    if isinstance(error, SystemExit) and error.code in (None, 0, 2):
        return (2 if error.code else 0), None
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as unwritable:
        error = unwritable
    if isinstance(error, (BrokenPipeError, SystemExit)):  # by which rich and typer hide it
        return 2, "standard output was closed before the end of what was to be said"
    from harness.errors import HarnessError, in_a_sentence

    if hasattr(error, "show") and hasattr(error, "format_message"):
        if type(error).__name__ == "NoArgsIsHelpError":  # a group of commands without one
            error.show()
            return 2, None
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        return 2, in_a_sentence(HarnessError(error.format_message())).rstrip(".") + hint
    import traceback

    if os.environ.get("VOXTRAL_PARITY_TRACEBACK"):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    if isinstance(error, (HarnessError, OSError, MemoryError, RecursionError)):
        return 2, in_a_sentence(error)
    home, place = os.path.dirname(os.path.dirname(__file__)), "an unknown place"
    for frame in traceback.extract_tb(error.__traceback__):  # the last of them that is ours
        if frame.filename.startswith(home + os.sep):
            place = f"harness/{os.path.relpath(frame.filename, home)}:{frame.lineno}"
    return 2, f"internal error at {place}: {in_a_sentence(error)}"


def _write_failure(sentence: str, started: float) -> None:
    """Put the failure where a report was asked for, whichever command it was."""
    flags = {word.partition("=")[0] for word in sys.argv[1:]}
    if flags & {"--json", "--junit", "--markdown", "--report", "--observe-only"}:
        from importlib.metadata import version

        from harness.cli.console import command_line
        from harness.cli.faces import replace_by_failure
        from harness.report.failure import failure

        made = failure(sentence, command_line(), version("voxtral-parity"))
        replace_by_failure(sys.argv[1:], made, started)


def _write_failure_elsewhere(sentence: str, started: float) -> None:
    """The same in a new process: an import that was cut short cannot be had again in this one."""
    import subprocess

    code = f"from harness.cli import _write_failure; _write_failure({sentence!r}, {started!r})"
    subprocess.run([sys.executable, "-c", code, *sys.argv[1:]], check=False)


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
