"""Pseudo-random numbers whose bits are the same on every platform, numpy and torch.

Only exact steps are used: raw Philox integers, integer sums, one correctly rounded IEEE
operation at a time. No libm function, no LAPACK, no sampling algorithm of a library.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.arrays import BFLOAT16

__all__ = ["from_bfloat16_bits", "hadamard_columns", "normal", "to_bfloat16_bits", "uniform"]

Float32 = NDArray[np.float32]

_CHUNK = 1 << 18
"""Numbers made at a time, so that a large tensor needs little memory."""

# Standard deviation of a sum of four independent uniforms on 0..65535.
_FOUR_UNIFORMS_STD = math.sqrt(4 * (65536.0**2 - 1) / 12)


def normal(seed: int, name: str, shape: tuple[int, ...], spread: float) -> Iterator[Float32]:
    """Near-normal numbers of mean 0 and standard deviation `spread`, in runs of whole rows.

    Each is a sum of the four 16-bit halves of one 64-bit word, which ends at 3.46 standard
    deviations and has kurtosis 2.7 (a normal has 3): near enough for weights. `seed` and `name`
    pick one of independent streams; a run of a tensor of `shape` has shape (rows, *shape[1:]).
    """
    generator = _generator(seed, name)
    scale = np.float32(spread / _FOUR_UNIFORMS_STD)
    width = math.prod(shape[1:])
    rows = max(1, _CHUNK // width)
    for start in range(0, shape[0], rows):
        count = min(rows, shape[0] - start)
        words = generator.random_raw(count * width)
        total = np.full(words.shape, -2 * 65535, np.int32)
        for shift in (0, 16, 32, 48):
            total += ((words >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int32)
        # |total| < 2**18, so the conversion is exact; the product is rounded once.
        yield (total.astype(np.float32) * scale).reshape(count, *shape[1:])


def uniform(seed: int, name: str, size: int, low: float, high: float) -> Float32:
    """Uniform numbers on [low, high), shape (size,), of 16 random bits each."""
    words = _generator(seed, name).random_raw(size) >> np.uint64(48)
    step = np.float32((high - low) / 65536)
    return words.astype(np.float32) * step + np.float32(low)


def hadamard_columns(seed: int, name: str, rows: int, columns: int) -> Float32:
    """Signs ±1, shape (rows, columns), whose columns are orthogonal and of length √rows.

    Blocks of a Hadamard matrix under each other, each with its own columns and row signs:
    every block has orthogonal columns, so their stack has. Raises `ValueError` where `rows` is no
    multiple of a power of two that is at least `columns`.
    """
    order = rows & -rows  # the largest power of two that divides rows
    if order < columns:
        raise ValueError(f"rows must be a multiple of a power of two ≥ {columns} (got {rows})")
    generator = _generator(seed, name)
    blocks = []
    for _ in range(rows // order):
        signs = 1 - 2 * (generator.random_raw(order) >> np.uint64(63)).astype(np.int8)
        chosen = np.argsort(generator.random_raw(order), kind="stable")[:columns]
        shared = np.arange(order)[:, None] & chosen[None, :]
        parity = np.zeros(shared.shape, np.int8)
        while shared.any():
            parity ^= (shared & 1).astype(np.int8)
            shared >>= 1
        blocks.append(signs[:, None] * (1 - 2 * parity))
    return np.concatenate(blocks).astype(np.float32)


def to_bfloat16_bits(values: Float32) -> NDArray[np.uint16]:
    """Bits of the nearest bfloat16 (ties to even) of finite float32 `values`."""
    return values.astype(BFLOAT16).view(np.uint16)


def from_bfloat16_bits(bits: NDArray[np.uint16]) -> Float32:
    """The float32 values that bfloat16 `bits` stand for, exactly."""
    return bits.view(BFLOAT16).astype(np.float32)


def _generator(seed: int, name: str) -> np.random.Philox:
    key = hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16]
    return np.random.Philox(key=int.from_bytes(key, "little"))
