"""All allowances as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.budget import tolerances, xnnpack
from harness.budget.decisions import DECISIONS, DecisionAllowance
from harness.budget.links import EXACT, LOCAL, ExactAllowance, LocalAllowance
from harness.budget.regimes import EXACT as EXACT_F32
from harness.budget.regimes import NARROW
from harness.compare import Allowance
from harness.fingerprint import UNMEASURED

__all__ = ["ANYTHING", "COMMITTED", "MEASURING", "Budget"]


@dataclass(frozen=True)
class Budget:
    """What an Observation is judged under.

    Attributes
    ----------
    values
        Allowance of a method's outputs, by lowering (``"mlx"``, ``"xnnpack"``), by
        `Precision.allowance`, by method.
    decisions
        Allowance of decisions, by `Precision.allowance`.
    regimes
        Regimes of arithmetic in which all this holds, by `Fingerprint.regime`, and what each has
        in the place of the values, by `Precision.allowance`, by method.
    otherwise, otherwise_decided
        What a method, and decisions, without an allowance are given; None leaves them *unjudged*.
    exact, local
        What the two links may differ by, in every precision and regime.
    """

    values: Mapping[str, Mapping[str, Mapping[str, Allowance]]]
    decisions: Mapping[str, DecisionAllowance]
    regimes: Mapping[str, Mapping[str, Mapping[str, Allowance]]]
    otherwise: Allowance | None = None
    otherwise_decided: DecisionAllowance | None = None
    exact: ExactAllowance = EXACT
    local: LocalAllowance = LOCAL

    def of(
        self, lowering: str, precision: str, method: str, regime: str = UNMEASURED
    ) -> Allowance | None:
        """The allowance of a method's outputs; None where nobody measured what counts as equal."""
        usual = self.values.get(lowering, {}).get(precision, {}).get(method, self.otherwise)
        if regime not in self.regimes:  # but what multiplies nothing is the same in every regime
            return usual if usual is not None and usual.max_abs == 0 else self.otherwise
        return self.regimes[regime].get(precision, {}).get(method, usual)

    def decision(self, precision: str, regime: str = UNMEASURED) -> DecisionAllowance | None:
        """The allowance of decisions; None where nobody measured how far they may move."""
        if regime not in self.regimes:
            return self.otherwise_decided
        return self.decisions.get(precision, self.otherwise_decided)


COMMITTED = Budget(
    {"mlx": tolerances.ALLOWANCES, "xnnpack": xnnpack.ALLOWANCES},
    DECISIONS,
    {EXACT_F32: {}, UNMEASURED: {}, NARROW: tolerances.IN_16_BITS},
)
"""The numbers that this repository keeps."""

ANYTHING = 1e9
"""More than any gate measures."""

MEASURING = replace(
    COMMITTED,
    otherwise=Allowance(ANYTHING, ANYTHING, ANYTHING, source="not measured so far"),
    otherwise_decided=DecisionAllowance(ANYTHING, ANYTHING, ANYTHING, source="not measured so far"),
)
"""Under which a measurement is taken: what has no allowance is measured all the same."""
