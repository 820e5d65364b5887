"""MLX's random bits, which its Python package does not offer: counter-mode Threefry-2x32.

References
----------
Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC11. The rotation
constants and 20 rounds are the paper's; the order of counters is MLX's (checked against
`mx.random.split` and `mx.random.uniform` in the tests).
"""

from __future__ import annotations

import secrets
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ExecutionError
from harness.runtime.portable.blas import mx

__all__ = ["random_bits"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_KEY_PARITY = np.uint32(0x1BD11BDA)
_Words = NDArray[np.uint32]


def random_bits(shape: tuple[int, ...], width: int, seed: int | None) -> Any:
    """Uniform unsigned integers of `width` bytes; no `seed`: numbers of no sequence."""
    if width not in (1, 2, 4):
        raise ExecutionError(f"random elements must have 1, 2 or 4 bytes (got {width})")
    key = secrets.randbits(64) if seed is None else seed % 2**64
    size = prod(shape) * width
    words = -(-size // 4)
    half = words // 2
    odd = words % 2
    # Word i pairs with word half + i; an odd count leaves word `half` to a counter of its own.
    low = np.arange(half, dtype=np.uint32)
    first, second = _threefry(key, low, low + np.uint32(half + odd))
    parts = [first, second]
    if odd:
        alone = np.array([half], np.uint32), np.array([0], np.uint32)
        parts.insert(1, _threefry(key, *alone)[0])
    stream = np.concatenate(parts).tobytes()[:size]
    return mx.array(np.frombuffer(stream, f"<u{width}").reshape(shape))


def _threefry(key: int, a: _Words, b: _Words) -> tuple[_Words, _Words]:
    """Threefry-2x32-20 of the counters (a, b)."""
    schedule = [np.uint32(key >> 32), np.uint32(key & 0xFFFFFFFF)]
    schedule.append(schedule[0] ^ schedule[1] ^ _KEY_PARITY)
    a, b = a + schedule[0], b + schedule[1]
    with np.errstate(over="ignore"):
        for group in range(5):
            for rotation in _ROTATIONS[group % 2]:
                a = a + b
                b = (b << np.uint32(rotation)) | (b >> np.uint32(32 - rotation))
                b = b ^ a
            a = a + schedule[(group + 1) % 3]
            b = b + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return a, b
