"""The flow's starting noise, as upstream's C++ runner draws it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["FlowNoise"]

_MASK = (1 << 64) - 1
_SEED_OF_ZERO = 0x12345678ABCDEF01  # xorshift stays at zero, so the runner starts elsewhere
_TWO_PI = np.float32(6.2831853071795864)


class FlowNoise:
    """Standard normal float32 numbers by xorshift64 and Box–Muller.

    One number takes two uniforms, and only the cosine branch is used. Logarithm and cosine are
    taken in double precision and rounded to float32 once, so that every platform draws the
    same noise; the runner's ``logf`` and ``cosf`` are the platform's own, and with glibc one
    number in 65 comes out one unit in the last place away.

    As the runner's `randn_xs`; `seed` is a natural number below 2**32, as its ``--seed``.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed or _SEED_OF_ZERO

    def normal(self, size: int) -> NDArray[np.float32]:
        """The next `size` numbers, float32, shape (size,)."""
        return np.array([self._next_normal() for _ in range(size)], np.float32)

    def _next_normal(self) -> np.float32:
        u1 = self._next_uniform()
        while u1 < np.float32(1e-30):
            u1 = self._next_uniform()
        u2 = self._next_uniform()
        radius = np.sqrt(np.float32(-2) * np.float32(math.log(u1)))
        return radius * np.float32(math.cos(_TWO_PI * u2))

    def _next_uniform(self) -> np.float32:
        """53 random bits rounded to float32, on [0, 1]."""
        x = self._state
        x ^= (x << 13) & _MASK
        x ^= x >> 7
        x ^= (x << 17) & _MASK
        self._state = x
        return np.float32(x >> 11) * np.float32(2.0**-53)
