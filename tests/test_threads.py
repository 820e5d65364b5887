"""Threads sleep unless the user wants them to spin."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WAITING = "from harness.threads import wait_asleep; wait_asleep(); import torch"


@pytest.mark.parametrize(
    ("wanted", "seen"), [(None, "PASSIVE"), ("active", "ACTIVE"), ("passive", "PASSIVE")]
)
def test_the_library_itself_waits_asleep_unless_told_otherwise(
    wanted: str | None, seen: str
) -> None:
    """OpenMP says what it read when torch loaded it."""
    settings = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if wanted is not None:
        settings["OMP_WAIT_POLICY"] = wanted
    done = subprocess.run(
        [sys.executable, "-c", WAITING],
        env={**settings, "OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True,
        text=True,
        check=True,
    )

    lines = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert lines
    assert all(f"'{seen}'" in line for line in lines)
