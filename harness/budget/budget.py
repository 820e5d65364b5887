"""All allowances as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.budget import tolerances, xnnpack
from harness.budget.decisions import DECISIONS, DecisionAllowance
from harness.budget.links import EXACT, LOCAL, ExactAllowance, LocalAllowance
from harness.compare import Allowance

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
        What a regime of arithmetic has in the place of the values, by `Fingerprint.regime`, by
        `Precision.allowance`, by method.
    otherwise, otherwise_decided
        What a method, and decisions, without an allowance are given; None leaves them *unjudged*.
    exact, local
        What the two links may differ by, in every precision and regime.
    """

    values: Mapping[str, Mapping[str, Mapping[str, Allowance]]]
    decisions: Mapping[str, DecisionAllowance]
    regimes: Mapping[str, Mapping[str, Mapping[str, Allowance]]] = field(default_factory=dict)
    otherwise: Allowance | None = None
    otherwise_decided: DecisionAllowance | None = None
    exact: ExactAllowance = EXACT
    local: LocalAllowance = LOCAL

    def of(self, lowering: str, precision: str, method: str, regime: str = "") -> Allowance | None:
        """The allowance of a method's outputs; None where nobody measured what counts as equal."""
        special = self.regimes.get(regime, {}).get(precision, {}).get(method)
        if special is not None:
            return special
        return self.values.get(lowering, {}).get(precision, {}).get(method, self.otherwise)

    def decision(self, precision: str) -> DecisionAllowance | None:
        """The allowance of decisions; None where nobody measured how far they may move."""
        return self.decisions.get(precision, self.otherwise_decided)


COMMITTED = Budget(
    {"mlx": tolerances.ALLOWANCES, "xnnpack": xnnpack.ALLOWANCES},
    DECISIONS,
    {"cpu-bf16-accumulate": tolerances.IN_16_BITS},
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
