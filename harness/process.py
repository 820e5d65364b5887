"""Processes of our own: the same harness, and `voxtral-parity` once more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import harness

__all__ = ["call_self", "complaint", "environment", "flags"]


def environment(**changes: str) -> dict[str, str]:
    """What a child that is to import this very harness runs with, wherever it was started."""
    source = str(Path(harness.__file__).parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **changes}


def call_self(
    arguments: Sequence[str | Path], *, quietly: bool = True, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run ``voxtral-parity`` and wait for its end; `quietly` keeps what it prints.

    `changes` are of the environment.
    """
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=quietly,
        text=True,
        errors="replace",
        env=environment(**changes),
        check=False,
    )


def flags(options: Mapping[str, object]) -> list[str]:
    """A word for each option that is given: ``--name=value`` (a text may begin with a dash)."""
    return [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in options.items()
        if value is not None and value is not False
    ]


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which it failed."""
    lines = done.stderr.strip().splitlines()
    said = lines[-1] if lines else f"it ended with exit code {done.returncode} and said nothing"
    return said.removeprefix("voxtral-parity: ")
