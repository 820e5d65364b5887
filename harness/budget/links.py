"""What the two links may differ by: an export from its model, and a node from its meaning."""

from __future__ import annotations

from dataclasses import dataclass

from harness.budget.ledger import Ledger, committed

__all__ = [
    "EXACT",
    "LOCAL",
    "LOOP",
    "ExactAllowance",
    "LocalAllowance",
    "exact_allowance",
    "local_allowance",
    "loop_allowance",
]


@dataclass(frozen=True)
class ExactAllowance:
    """How far a program run in float64 may be from eager in float64, of the output's scale."""

    of_scale: float
    source: str


@dataclass(frozen=True)
class LocalAllowance:
    """What the errors of one node's elements may add up to, beside the bound on each of them.

    A mean counts only where it is both large and far outside of its own standard error.

    Attributes
    ----------
    gain, gain_z
        Gain of the error on the reference, in unit roundoffs of the result's type, and over its
        standard error.
    bias, bias_z
        Mean error away from zero, in units in the last place, and over its standard error.
    rows_z
        In the place of both, where the samples are whole rows: norms, softmax and attention.
    scale, scale_z
        By how much the scores of attention seem scaled otherwise, and that over its standard error.
    source
        Where the figures come from.
    """

    gain: float
    gain_z: float
    bias: float
    bias_z: float
    rows_z: float
    scale: float
    scale_z: float
    source: str

    def share(
        self,
        worst: float,
        gain: tuple[float, float],
        bias: tuple[float, float],
        rows: bool = False,
    ) -> float:
        """How much of what is allowed was used; over 1 is too much.

        Parameters
        ----------
        worst
            The greatest error of an element over its bound.
        gain, bias
            Each with its value over its standard error.
        rows
            Whether whole rows are the samples, which are independent of each other.
        """
        gain_z, bias_z = (self.rows_z,) * 2 if rows else (self.gain_z, self.bias_z)
        of_gain = min(abs(gain[0]) / self.gain, abs(gain[1]) / gain_z)
        of_bias = min(abs(bias[0]) / self.bias, abs(bias[1]) / bias_z)
        return max(worst, of_gain, of_bias)


def exact_allowance(ledger: Ledger) -> ExactAllowance:
    """What a ledger allows the exact link."""
    row = ledger.row("exact", "max abs")
    return ExactAllowance(row.allowed, row.source)


def loop_allowance(ledger: Ledger) -> ExactAllowance:
    """What a ledger allows the loop in float64; the committed one where it is older than that."""
    known = any(row.check == "loop" for row in ledger.table("exact"))
    row = (ledger if known else committed()).row("exact", "loop")
    return ExactAllowance(row.allowed, row.source)


def local_allowance(ledger: Ledger) -> LocalAllowance:
    """What a ledger allows the local link."""
    rows = {row.check: row for row in ledger.table("local")}
    return LocalAllowance(
        **{name: row.allowed for name, row in rows.items()}, source=rows["gain"].source
    )


EXACT = exact_allowance(committed())

LOOP = loop_allowance(committed())

LOCAL = local_allowance(committed())
