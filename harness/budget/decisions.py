"""How far rounding errors may move what a code is decided on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DecisionAllowance"]


@dataclass(frozen=True)
class DecisionAllowance:
    """How far eager's value may lie from the bound that another decision needs.

    Attributes
    ----------
    logits
        The difference of two semantic logits.
    levels, rms_levels
        An acoustic value, in levels of its codebook; and the RMS of that over all of a speech.
    source
        Where the figures come from.
    """

    logits: float
    levels: float
    rms_levels: float
    source: str
