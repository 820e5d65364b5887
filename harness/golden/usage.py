"""Goldens that nothing reads: a renamed checkpoint leaves one behind, and it looks like proof."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.compare import words
from harness.compare.verdict import Gate, Status, Verdict
from harness.golden.drift import DRIFT
from harness.golden.store import GoldenKey, list_goldens, unused

__all__ = ["REGIMES", "judge_unused"]

REGIMES = ("cpu", "metal")
"""Families of arithmetic that a golden can be of."""


def judge_unused(root: Path, kept: Callable[[str], bool]) -> Verdict:
    """Fail if a file below `root` is no golden that a run would be compared with.

    Parameters
    ----------
    root
        The goldens' directory.
    kept
        Whether goldens of a checkpoint of that name are kept.
    """
    keys = list_goldens(root)
    used = [key for key in keys if _read_by_some_run(key) and kept(key.checkpoint)]
    strays = unused(root, used)
    gate = Gate("unused files", len(strays), 0, "files")
    if strays:
        names = ", ".join(str(path.relative_to(root)) for path in strays)
        summary = f"no run reads {names}; delete what is not needed any more"
    else:
        summary = f"all of {words.count(len(keys), 'golden')} are read by a run"
    status = Status.FAIL if strays else Status.PASS if used else Status.UNJUDGED
    return Verdict("golden", "unused files", "golden", status, summary, {}, (gate,), len(used))


def _read_by_some_run(key: GoldenKey) -> bool:
    return key.method == "codec" and key.precision in DRIFT and key.regime in REGIMES
