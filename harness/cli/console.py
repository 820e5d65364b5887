"""How commands speak to the user: progress on stderr, results on stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from harness.errors import InputError, printable
from harness.memory import peak_memory

__all__ = ["command_line", "progress", "raw_stdout", "stderr", "stdout"]

LOG_WIDTH = 140


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show the current step on stderr, a spinner on a terminal, lines in a log, and its cost."""
    console = Console(stderr=True)
    started = time.monotonic()
    if console.is_terminal:
        with console.status("starting") as status:
            yield lambda text: status.update(Text(printable(text)))
    else:
        yield lambda text: stderr(f"· {printable(text)}")
    peak = peak_memory()
    held = "" if peak is None else f", at most {peak / 1e9:.2f} GB of memory"
    stderr(f"· took {time.monotonic() - started:.1f} s{held}")


@contextmanager
def raw_stdout() -> Iterator[Callable[[bytes], None]]:
    """Keep standard output for bytes alone: what else is printed meanwhile goes to stderr.

    Native libraries print too, so the descriptor itself is moved. A write raises `InputError` when
    whoever reads standard output went away.
    """
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)

    def write(data: bytes) -> None:
        try:
            while data:
                data = data[os.write(own, data) :]
        except BrokenPipeError:
            raise InputError("whoever played the samples went away before the end") from None

    try:
        yield write
    finally:
        sys.stdout.flush()
        os.dup2(own, 1)
        os.close(own)


def stderr(text: str) -> None:
    """Say something about the work, not of its result."""
    print(text, file=sys.stderr, flush=True)


def stdout() -> Console:
    """Standard output; a log, which has no width of its own, gets room for every column."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = LOG_WIDTH
    return console


def command_line() -> str:
    """What the user typed; bytes that are no UTF-8 as escapes, so that a report can hold them."""
    typed = " ".join(["voxtral-parity", *sys.argv[1:]])
    return typed.encode(errors="backslashreplace").decode()
