"""Threads that wait asleep."""

from __future__ import annotations

import os

__all__ = ["wait_asleep"]


def wait_asleep() -> None:
    """Let BLAS's threads sleep between two products instead of spinning.

    Speech is a thousand small products a second. Threads that spin while they wait for one
    another are taken from the processor, still spinning, wherever something else wants to run: 12
    frames of `small` took the portable executor 2 to 48 s on two cores, by what else ran there, and
    take 1.2 to 2.0 s asleep. Eager takes as long either way.

    OpenMP reads this once, when torch's library is loaded; what the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # numpy's threads always spin, and cost three times the time of one on products of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
