"""What the constants of a program must be, as a value: made with torch, read without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from harness.arrays import dtype_of

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
class ExpectedLayer:
    """A weight that must be quantised, in MLX's form (`harness.pte.facts.QuantizedLayer`).

    Attributes
    ----------
    name
        Path of the layer in upstream's model.
    bits, group, rows, columns, dtype
        As in `QuantizedLayer`.
    values, scales, biases
        SHA-256 of what eager's quantised weight comes to.
    sqnr_db
        Signal to noise of eager's quantised weight against the checkpoint's, in dB.
    nearest_db
        The same for plain rounding to the nearest of as many levels, one scale a group: what a
        quantiser that searches may not fall far below.
    """

    name: str
    bits: int
    group: int
    rows: int
    columns: int
    dtype: str
    values: str
    scales: str
    biases: str
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
    constants, layers
        Its constants, and its quantised weights.
    skipped
        Layers that the precision asks to quantise and MLX has no kernel for.
    """

    constants: tuple[ExpectedConstant, ...]
    layers: tuple[ExpectedLayer, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all that is required."""
        parts: Iterable[ExpectedConstant | ExpectedLayer] = (
            *(constant for constant in self.constants if constant.required),
            *self.layers,
        )
        return sum(part.nbytes for part in parts)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ExpectedContents:
        """The contents that `to_json` wrote."""
        lists = ("shape", "digests", "stands_for")
        return cls(
            tuple(
                ExpectedConstant(**{**item, **{key: tuple(item[key]) for key in lists}})
                for item in content["constants"]
            ),
            tuple(ExpectedLayer(**item) for item in content["layers"]),
            tuple(content["skipped"]),
        )
