"""How far rounding errors may move what a code is decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DECISIONS", "DecisionAllowance"]


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


_FP32 = DecisionAllowance(
    logits=1.5e-4,
    levels=1.8e-3,
    rms_levels=1.8e-3,
    source="ten times what decisions of the portable executor and of eager lie apart on CPUs "
    "(tiny and small, the main job's sentence)",
)

_BF16 = DecisionAllowance(
    logits=0.6,
    levels=15.0,
    rms_levels=1.4,
    source="twice the most that the difference of any two logits (0.30), any value (7.4 levels: "
    "seven steps of the flow can carry rounding far), and the values of one speech (RMS 0.69) "
    "moved between the portable executor and eager on CPUs, along the same codes (tiny, eight "
    "sentences and seeds in bf16 and bf16-4w8w); unrelated values are 8 levels RMS apart",
)

DECISIONS: Mapping[str, DecisionAllowance] = {
    "fp32": _FP32,
    "fp32-4w8w": _FP32,
    "bf16": _BF16,
    "bf16-4w8w": _BF16,
}
"""By `Precision.allowance`; a precision that was not measured has none."""
