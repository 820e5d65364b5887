"""Reviewed statistics of what the codec said, and the codes it said it from.

The files live at the repository's top level as
``golden/<checkpoint>/<method>/<precision>/<regime>.json``; nothing but `bless` writes them.

`store`   a golden and its file: read, list, find those that nothing uses
`drift`   compare a run with its golden
`usage`   fail on goldens that nothing reads
`anchor`  figures that others published of the real weights
`bless`   make this run the golden, with a reason, while parity with eager is green
"""

from __future__ import annotations

from harness.golden.bless import Blessed, bless
from harness.golden.drift import DRIFT, Change, Drift, changes, check, check_file, missing
from harness.golden.store import (
    Blessing,
    Golden,
    GoldenKey,
    Provenance,
    default_root,
    list_goldens,
    read,
    unused,
)
from harness.golden.usage import judge_unused

__all__ = [
    "DRIFT",
    "Blessed",
    "Blessing",
    "Change",
    "Drift",
    "Golden",
    "GoldenKey",
    "Provenance",
    "bless",
    "changes",
    "check",
    "check_file",
    "default_root",
    "judge_unused",
    "list_goldens",
    "missing",
    "read",
    "unused",
]
