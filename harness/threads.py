"""Threads that wait asleep."""

from __future__ import annotations

import os

__all__ = ["wait_asleep"]


def wait_asleep() -> None:
    """Let BLAS's threads sleep between two products instead of spinning.

    Speech is a thousand small products a second. Threads that spin while they wait for one
    another are taken from the processor, still spinning, wherever something else wants to run: 12
    frames of `small` took the portable executor 48 s on two busy cores, and take 1.9 s asleep,
    which is no more than spinning takes on idle ones (2.2 s).

    OpenMP reads this once, when torch's library is loaded; what the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
