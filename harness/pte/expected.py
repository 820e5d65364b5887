"""What the constants of a program must be, as a value: made with torch, read without it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from harness.arrays import dtype_of
from harness.pte.facts import QuantizedLayer

__all__ = ["ExpectedConstant", "ExpectedContents", "ExpectedLayer"]


@dataclass(frozen=True)
class ExpectedConstant:
    """A tensor of the eager model that a program may hold in one of several layouts.

    Attributes
    ----------
    name
        Path in upstream's model.
    dtype, shape
        numpy's name of the type, and the sizes in the model.
    digests
        SHA-256 of the bytes of each layout in which a lowering may store it.
    required
        Whether a program that lacks it must be wrong: it comes from the checkpoint. Tables that
        upstream computes (ALiBi slopes, timesteps) may be folded into others.
    stands_for
        Constants that are not needed where this one is: it was computed from them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    digests: tuple[str, ...]
    required: bool = True
    stands_for: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return prod(self.shape) * dtype_of(self.dtype).itemsize


@dataclass(frozen=True)
class ExpectedLayer(QuantizedLayer):
    """A weight that must be quantised; `name` is its layer's path in upstream's model.

    Attributes
    ----------
    sqnr_db
        Signal to noise of eager's quantised weight against the checkpoint's, in dB.
    nearest_db
        The same for plain rounding to the nearest of as many levels, one scale a group: what a
        quantiser that searches may not fall far below.
    """

    sqnr_db: float
    nearest_db: float

    @property
    def nbytes(self) -> int:
        """Bytes of packed values and scales."""
        weights = self.rows * self.columns
        return weights * self.bits // 8 + weights // self.group * dtype_of(self.dtype).itemsize


@dataclass(frozen=True)
class ExpectedContents:
    """What one method must hold.

    Attributes
    ----------
    skipped
        Layers that the precision asks to quantise and MLX has no kernel for.
    """

    constants: tuple[ExpectedConstant, ...]
    layers: tuple[ExpectedLayer, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all that is required."""
        required = (constant.nbytes for constant in self.constants if constant.required)
        return sum(required) + sum(layer.nbytes for layer in self.layers)
