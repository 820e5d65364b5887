"""What may differ, with where each number comes from.

`ledger`     every committed number, with what was measured for it: the one table
`floors`     what a precision may cost
`regimes`    how exactly an executor multiplies, by what its canaries show
`decisions`  how far rounding may move what a code is decided on
`links`      what the exact and the local link may differ by
`budget`     all of them as one value, so that an Observation can be judged under another
"""

from __future__ import annotations

from harness.budget.budget import ANYTHING, COMMITTED, MEASURING, Allowed, Budget, budget_of
from harness.budget.decisions import DecisionAllowance
from harness.budget.floors import FLOOR_SOURCE, floor
from harness.budget.links import EXACT, LOCAL, ExactAllowance, LocalAllowance

__all__ = [
    "ANYTHING",
    "COMMITTED",
    "EXACT",
    "FLOOR_SOURCE",
    "LOCAL",
    "MEASURING",
    "Allowed",
    "Budget",
    "DecisionAllowance",
    "ExactAllowance",
    "LocalAllowance",
    "budget_of",
    "floor",
]
