"""What may differ, with where each number comes from.

`tolerances` exports to MLX, by method and precision, and what a precision may cost
`xnnpack`    the same methods on XNNPACK and ExecuTorch's CPU kernels
`regimes`    how exactly an executor multiplies, by what its canaries show
`decisions`  how far rounding may move what a code is decided on
`links`      what the exact and the local link may differ by
`budget`     all of them as one value, so that an Observation can be judged under another
"""

from __future__ import annotations

from harness.budget.budget import ANYTHING, COMMITTED, MEASURING, Budget
from harness.budget.decisions import DecisionAllowance
from harness.budget.links import EXACT, LOCAL, ExactAllowance, LocalAllowance
from harness.budget.tolerances import FLOOR_SOURCE, floor

__all__ = [
    "ANYTHING",
    "COMMITTED",
    "EXACT",
    "FLOOR_SOURCE",
    "LOCAL",
    "MEASURING",
    "Budget",
    "DecisionAllowance",
    "ExactAllowance",
    "LocalAllowance",
    "floor",
]
