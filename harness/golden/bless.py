"""Make a run the golden: the only way a golden comes to be or changes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.arrays import Array
from harness.compare.sound import WaveformStatistics
from harness.compare.verdict import Status, Verdict
from harness.errors import InputError
from harness.golden.store import (
    Blessing,
    Golden,
    GoldenKey,
    Provenance,
    as_codes,
    codes_digest,
    read,
    write,
)

__all__ = ["Blessed", "bless"]

_SHORTEST_REASON = 10
"""Characters; enough to rule out "x", "ok" and "update" without judging prose."""


@dataclass(frozen=True)
class Blessed:
    """A golden just written, and the one it replaced (None if it is the first)."""

    path: Path
    golden: Golden
    previous: Golden | None


def bless(
    root: Path,
    key: GoldenKey,
    statistics: WaveformStatistics,
    codes: Array,
    provenance: Provenance,
    reason: str,
    parity: Sequence[Verdict],
) -> Blessed:
    """Write this run as the golden of `key`; the one before becomes the first of its history.

    Parameters
    ----------
    root
        The goldens' directory; must exist.
    statistics, codes
        As in `drift.check`.
    provenance, reason
        Kept in the file; `reason` says why the golden may change.
    parity
        The same run's verdicts against eager; all must have passed.

    Raises
    ------
    InputError
        `reason` has fewer than ten characters; a parity verdict did not pass, or there is none;
        a statistic is not finite (silence has none worth keeping); no codes, or not as many
        frames as `statistics` says; `root` is missing; the golden there is damaged.
    """
    reason = " ".join(reason.split())
    if len(reason) < _SHORTEST_REASON:
        raise InputError(
            f"a golden needs a reason of at least {_SHORTEST_REASON} characters (got {reason!r})"
        )
    _require_green(key, parity)
    rows = as_codes(codes)
    if not rows or len(rows) != statistics.frames:
        raise InputError(
            f"golden {key}: {len(rows)} frames of codes for statistics of "
            f"{statistics.frames} frames"
        )
    for name, value in dataclasses.asdict(statistics).items():
        if isinstance(value, str):
            continue
        if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
            raise InputError(f"golden {key}: {name} is {value}; only finite values are kept")
    if not root.is_dir():
        raise InputError(f"the goldens' directory {root} does not exist; create it")
    previous = read(root, key)
    history = () if previous is None else (_remember(previous), *previous.history)
    golden = Golden(key, statistics, rows, reason, provenance, history)
    return Blessed(write(root, golden), golden, previous)


def _require_green(key: GoldenKey, parity: Sequence[Verdict]) -> None:
    red = [verdict for verdict in parity if verdict.status is not Status.PASS]
    if parity and not red:
        return
    why = (
        f"{len(red)} of {len(parity)} parity verdicts did not pass, first "
        f"{red[0].subject}, {red[0].case}: {red[0].summary}"
        if red
        else "no parity verdict was given"
    )
    raise InputError(f"golden {key} is not blessed while parity with eager is not green: {why}")


def _remember(golden: Golden) -> Blessing:
    return Blessing(
        reason=golden.reason,
        date=golden.provenance.date,
        checkpoint_digest=golden.provenance.checkpoint_digest,
        codes_sha256=codes_digest(golden.codes),
        frames=golden.statistics.frames,
        peak=golden.statistics.peak,
        rms_dbfs=golden.statistics.rms_dbfs,
    )
