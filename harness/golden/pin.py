"""One case's outputs as a few numbers, which any wrong element moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.arrays import Array

__all__ = ["Pin", "nan_last"]

_SAMPLES = 3


@dataclass(frozen=True)
class Pin:
    """A case's outputs, all calls one after the other, as a few numbers.

    Attributes
    ----------
    elements, masked
        How many there are, and how many of them are −inf; the others enter the figures.
    rms
        Their root mean square.
    projection
        Their sum with signs that look random, over the root of their number: of the size of an
        element, and moved by any element, and by elements that change places.
    samples
        Elements at the middles of as many equal parts.
    """

    elements: int
    masked: int
    rms: float
    projection: float
    samples: tuple[float, ...]

    @classmethod
    def of(cls, outputs: Sequence[Array]) -> Pin:
        """Of the outputs of a case's calls."""
        values = np.concatenate([np.asarray(y, np.float64).reshape(-1) for y in outputs])
        masked = np.isneginf(values)
        kept = np.where(masked, 0.0, values)
        count = max(1, int(values.size - masked.sum()))
        index = np.arange(values.size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        signs = 1.0 - 2.0 * (index >> np.uint64(63))
        middles = (2 * np.arange(_SAMPLES) + 1) * values.size // (2 * _SAMPLES)
        return cls(
            elements=int(values.size),
            masked=int(masked.sum()),
            rms=_short(math.sqrt(float(kept @ kept) / count)),
            projection=_short(float(kept @ signs) / math.sqrt(count)),
            samples=tuple(_short(float(x)) for x in values[middles]) if values.size else (),
        )

    def moved(self, new: Pin) -> tuple[float, float]:
        """How far the RMS moved, and the most that a sum or an element did, both over the RMS.

        Infinite where a count differs.
        """
        if (self.elements, self.masked) != (new.elements, new.masked):
            return math.inf, math.inf
        old, now = ((pin.projection, *pin.samples) for pin in (self, new))
        gaps = [0.0 if a == b else abs(b - a) for a, b in zip(old, now, strict=True)]  # −inf too
        return self._relative(abs(new.rms - self.rms)), self._relative(max(gaps, key=nan_last))

    def _relative(self, gap: float) -> float:
        return gap / self.rms if self.rms else (math.inf if gap else 0.0)


def nan_last(value: float) -> tuple[bool, float]:
    """By which NaN is sorted as the greatest."""
    return math.isnan(value), value


def _short(value: float) -> float:
    """Nine digits, which tell any two float32 apart."""
    return float(f"{value:.9g}")
