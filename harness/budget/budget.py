"""All allowances as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.budget.decisions import DecisionAllowance
from harness.budget.ledger import Ledger, committed, parse_ledger
from harness.budget.links import (
    EXACT,
    LOCAL,
    LOOP,
    ExactAllowance,
    LocalAllowance,
    exact_allowance,
    local_allowance,
    loop_allowance,
)
from harness.budget.regimes import EXACT as EXACT_F32
from harness.budget.regimes import NARROW
from harness.compare import Allowance, Multiples
from harness.errors import InputError, in_a_sentence
from harness.fingerprint import UNMEASURED

__all__ = ["ANYTHING", "COMMITTED", "MEASURING", "Allowed", "Budget", "budget_of"]


@dataclass(frozen=True)
class Allowed:
    """What a method's outputs may differ by.

    Attributes
    ----------
    cap
        From eager, at most.
    own
        From the oracle, in multiples of what eager of that precision loses; None: not judged.
    """

    cap: Allowance
    own: Multiples | None = None


@dataclass(frozen=True)
class Budget:
    """What an Observation is judged under.

    Attributes
    ----------
    ledger
        The rows that allow something.
    regimes
        Those of arithmetic, by `Fingerprint.regime`, in which rows that name none hold.
    otherwise, otherwise_decided
        What a method, and decisions, without an allowance are given; None leaves them *unjudged*.
    exact, loop, local
        What the two links, and the loop in float64, may differ by, in every precision and regime.
    """

    ledger: Ledger
    regimes: tuple[str, ...] = (EXACT_F32, UNMEASURED, NARROW)
    otherwise: Allowance | None = None
    otherwise_decided: DecisionAllowance | None = None
    exact: ExactAllowance = EXACT
    loop: ExactAllowance = LOOP
    local: LocalAllowance = LOCAL

    def of(
        self, lowering: str, precision: str, method: str, regime: str = UNMEASURED
    ) -> Allowed | None:
        """What a method's outputs may differ by; None where nobody measured it."""
        cap = self.ledger.cap(lowering, precision, method, regime) or self.otherwise
        measured = regime in self.regimes or self.ledger.knows("cap", regime, precision, method)
        if not measured and (cap is None or cap.max_abs > 0):
            cap = self.otherwise  # but what multiplies nothing is the same in every regime
        if cap is None:
            return None
        return Allowed(cap, self.ledger.multiples(lowering, precision, method, regime))

    def decision(self, precision: str, regime: str = UNMEASURED) -> DecisionAllowance | None:
        """The allowance of decisions; None where nobody measured how far they may move."""
        if regime not in self.regimes and not self.ledger.knows("decision", regime, precision):
            return self.otherwise_decided
        rows = self.ledger.decisions(precision, regime)
        if "logits" not in rows:
            return self.otherwise_decided
        return DecisionAllowance(
            **{name: rows[name].allowed for name in ("logits", "levels", "rms_levels")},
            source=rows["levels"].source,
        )


def budget_of(text: str, what: str) -> Budget:
    """The budget of a ledger's text, in the form of `ledger.json`.

    Parameters
    ----------
    text
        Content of the file.
    what
        Which file, for the message.

    Raises
    ------
    InputError
        It is no ledger, or lacks what the two links are judged by.
    """
    try:
        ledger = parse_ledger(text)
        return Budget(
            ledger,
            exact=exact_allowance(ledger),
            loop=loop_allowance(ledger),
            local=local_allowance(ledger),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else in_a_sentence(error)
        raise InputError(
            f"{what} is no ledger of allowances ({reason}); give a file in the form of "
            "harness/budget/ledger.json"
        ) from None


COMMITTED = Budget(committed())
"""The numbers that this repository keeps."""

ANYTHING = 1e9
"""More than any gate measures."""

MEASURING = replace(
    COMMITTED,
    otherwise=Allowance(ANYTHING, ANYTHING, ANYTHING, source="not measured so far"),
    otherwise_decided=DecisionAllowance(ANYTHING, ANYTHING, ANYTHING, source="not measured so far"),
)
"""Under which a measurement is taken: what has no allowance is measured all the same."""
