"""What the two links may differ by: an export from its model, and a node from its meaning."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXACT", "LOCAL", "ExactAllowance", "LocalAllowance"]


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
    scale, scale_z
        By how much the scores of attention seem scaled otherwise, and that over its standard error.
    source
        Where the figures come from.
    """

    gain: float
    gain_z: float
    bias: float
    bias_z: float
    scale: float
    scale_z: float
    source: str

    def share(self, worst: float, gain: tuple[float, float], bias: tuple[float, float]) -> float:
        """How much of what is allowed was used; over 1 is too much.

        Parameters
        ----------
        worst
            The greatest error of an element over its bound.
        gain, bias
            Each with its value over its standard error.
        """
        of_gain = min(abs(gain[0]) / self.gain, abs(gain[1]) / self.gain_z)
        of_bias = min(abs(bias[0]) / self.bias, abs(bias[1]) / self.bias_z)
        return max(worst, of_gain, of_bias)


EXACT = ExactAllowance(
    1e-7,
    "eight times the most that a correct export differs by (1.3e-8 of the scale, the codec, whose "
    "literals are float32; the other methods 6e-13), in fp32, bf16 and bf16-4w8w on tiny and "
    "small; the weakest fault seen, a norm's eps times ten, is 2.5e-6",
)

LOCAL = LocalAllowance(
    gain=0.25,
    gain_z=30.0,
    bias=0.35,
    bias_z=20.0,
    scale=0.004,
    scale_z=20.0,
    source="the portable executor's nodes on tiny and small, all methods and precisions: a gain of "
    "half a roundoff at 16 standard errors, a bias of 0.29 units at 16 (norms, whose rows share "
    "one rounded factor); attention whose scale is 1 % off has 0.5 at 59, a silu that truncates a "
    "bias of 0.50 at 52. Attention's scale seems 0.0013 off in correct steps",
)
