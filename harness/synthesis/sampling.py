"""Choosing the semantic code, as upstream's C++ runner does: the greatest logit, or a draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError

__all__ = ["Choice", "SemanticSampler"]

Float32 = NDArray[np.float32]

_TWO_32 = 4294967296.0


@dataclass(frozen=True)
class Choice:
    """A code, and how near another one was.

    `runner_up` is the code that the least change of logits, or of cumulative probability, would
    have chosen, and `margin` that change.
    """

    code: int
    runner_up: int
    margin: np.float32


class SemanticSampler:
    """Chooses one code a step; the same seed draws the same numbers.

    The runner's `sample_semantic_code` draws with ``std::discrete_distribution`` from a
    ``std::mt19937`` that only this choice uses: one draw takes two of its 32-bit numbers, the
    first being the low half of a uniform number of 64 bits (libstdc++ and libc++ agree).
    Probabilities are float32, summed from the first code on, and their exponentials are rounded
    once, as in `FlowNoise`.

    `seed` is a natural number below 2**32. Temperature 0 takes the greatest logit, the first of
    equals, and draws nothing; a negative one, or none that is finite, raises `InputError`.
    """

    def __init__(self, seed: int, temperature: float = 0.0) -> None:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise InputError(f"temperature must be 0 or a positive number (got {temperature})")
        self._temperature = np.float32(temperature)
        self._twister = np.random.RandomState(seed)

    def choose(self, logits: Float32) -> Choice:
        """The code for `logits`, float32, shape (codes,)."""
        if self._temperature > 0:
            return self._draw(logits)
        best = int(np.argmax(logits))
        others = logits.copy()
        others[best] = -np.inf
        second = int(np.argmax(others))
        return Choice(best, second, np.float32(logits[best] - logits[second]))

    def _draw(self, logits: Float32) -> Choice:
        scaled = ((logits - logits.max()) / self._temperature).astype(np.float64)
        weights = np.exp(scaled).astype(np.float32)
        weights /= np.cumsum(weights)[-1]  # a running sum, in order, as the runner's
        probabilities = weights.astype(np.float64)
        probabilities /= np.cumsum(probabilities)[-1]
        # The last code takes what is left, so its upper bound is no number that could be missed.
        bounds = np.cumsum(probabilities)[:-1]
        uniform = self._uniform()
        code = int(np.searchsorted(bounds, uniform, side="right"))
        below = uniform - bounds[code - 1] if code else math.inf
        above = bounds[code] - uniform if code < len(bounds) else math.inf
        possible = np.flatnonzero(weights)
        beyond = possible[possible < code][-1:] if below < above else possible[possible > code][:1]
        runner_up = int(beyond[0]) if len(beyond) else code
        return Choice(code, runner_up, np.float32(min(below, above)))

    def _uniform(self) -> float:
        low, high = np.frombuffer(self._twister.bytes(8), "<u4").tolist()
        return min((low + high * _TWO_32) / (_TWO_32 * _TWO_32), math.nextafter(1.0, 0.0))
