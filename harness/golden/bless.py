"""Make a run the golden: the only way a golden comes to be or changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from harness.compare.verdict import Status, Verdict
from harness.errors import InputError
from harness.golden.judge import check_precision
from harness.golden.store import Golden, read, unusable, write
from harness.golden.waiting import waiting_path

__all__ = ["bless", "check_green", "check_reason"]

_SHORTEST_REASON = 10
"""Characters; enough to rule out "x", "ok" and "update" without judging prose."""


def bless(root: Path, run: Golden, parity: Sequence[Verdict]) -> Golden | None:
    """Write a run as the golden of its key below `root`, and give the one that it replaces.

    Parameters
    ----------
    run
        What is kept; its `reason` says why the golden may change.
    parity
        The same run's verdicts against eager; all must have passed.

    Raises
    ------
    InputError
        The reason has fewer than ten characters; a parity verdict did not pass, or there is none;
        a statistic is not finite; no codes, or not as many frames as the statistics say; no drift
        is declared for the precision; `root` is missing; the golden there is damaged.
    """
    key, frames = run.key, run.statistics.frames
    run = dataclasses.replace(run, reason=check_reason(run.reason))
    check_precision(key.precision)
    check_green(f"golden {key} is", parity)
    if not run.codes or len(run.codes) != frames:
        raise InputError(
            f"golden {key}: {len(run.codes)} frames of codes for statistics of {frames} frames"
        )
    if fault := unusable(run.statistics):
        raise InputError(f"golden {key}: {fault}; only finite values are kept")
    if not root.is_dir():
        raise InputError(f"the goldens' directory {root} does not exist; create it")
    previous = read(root, key)
    write(key.path(root), run)
    waiting_path(key.path(root)).unlink(missing_ok=True)
    return previous


def check_reason(reason: str) -> str:
    """The reason on one line; `InputError` if it has fewer than ten characters."""
    reason = " ".join(reason.split())
    if len(reason) < _SHORTEST_REASON:
        raise InputError(
            f"a golden needs a reason of at least {_SHORTEST_REASON} characters (got {reason!r})"
        )
    return reason


def check_green(what: str, parity: Sequence[Verdict]) -> None:
    """Refuse to bless, as an `InputError`, while a verdict did not pass or there is none."""
    red = [verdict for verdict in parity if verdict.status is not Status.PASS]
    if red or not parity:
        why = (
            "no parity verdict was given"
            if not parity
            else (
                f"{len(red)} of {len(parity)} parity verdicts did not pass, first "
                f"{red[0].subject}, {red[0].case}: {red[0].summary}"
            )
        )
        raise InputError(f"{what} not blessed while parity with eager is not green: {why}")
