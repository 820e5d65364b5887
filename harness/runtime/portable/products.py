"""Matrix products: by which BLAS, and on how many threads.

Torch's BLAS wakes a second thread for the smallest product: 3 × 64 × 3 takes 60 to 180 µs on two
threads and 1 µs on one. Within `sized_threads`, only a large product has more than one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from harness.runtime.portable.blas import BLAS, LENT, NUMPYS, mx
from harness.runtime.portable.tensors import LARGEST_BYTES

__all__ = ["MULTIPLIES", "matmul", "multiplications", "product", "sized_threads", "spread"]

MULTIPLIES = BLAS == NUMPYS
"""Whether `product` is another than MLX's own."""

_LARGE = 1 << 25
"""Multiplications of a product that is worth a second thread and two waits of 0.1 ms.

On 2 cores, in ms on one thread and on two: 64 × 512 × 512 0.41 and 0.38, 64 × 512 × 1536 1.7 and
1.1, 64 × 3072 × 3072 18 and 12.
"""


def _mkl(name: str) -> Any:
    """A function of the lent BLAS, where that is MKL; else None."""
    return getattr(ctypes.CDLL(None), name, None) if BLAS == LENT else None


_threads, _set_threads = _mkl("mkl_serv_get_max_threads"), _mkl("mkl_serv_set_num_threads")

_all_threads = 1
"""How many the BLAS has for a large product within `sized_threads`; 1 elsewhere."""


def product(a: Any, b: Any) -> Any:
    """``a @ b`` for the fast routes, by the best BLAS there is."""
    if not MULTIPLIES or not a.dtype == b.dtype == mx.float32:
        return matmul(a, b)
    plain = min(a.ndim, b.ndim) > 1 and a.shape[-1] == b.shape[-2] and a.size and b.size
    if not plain or (b.ndim > 2 and a.shape[:-2] != b.shape[:-2]):
        return mx.matmul(a, b)  # which refuses, or broadcasts, in its own way
    return mx.array(np.matmul(np.asarray(a), np.asarray(b)))


def matmul(a: Any, b: Any) -> Any:
    """``a @ b`` by MLX."""
    return spread(mx.matmul(a, b), multiplications(a, b), a, b)


def multiplications(a: Any, b: Any) -> int:
    """How many MLX gives BLAS at once: all rows of `a`, or one matrix of a stack `b`."""
    rows = prod(a.shape[:-1]) if b.ndim < 3 or a.ndim < 2 else int(a.shape[-2])
    return rows * prod(b.shape[-2:])


def spread(made: Any, multiplications: int, *operands: Any) -> Any:
    """`made` of `operands`, evaluated on all threads if it takes many multiplications.

    Operands are evaluated before, so that the bits of a product do not depend on what follows it.
    """
    if _all_threads > 1 and multiplications >= _LARGE and made.nbytes <= LARGEST_BYTES:
        mx.eval(operands)
        _set_threads(_all_threads)
        try:
            mx.eval(made)
        finally:
            _set_threads(1)
    return made


@contextmanager
def sized_threads() -> Iterator[None]:
    """Let the BLAS use one thread, but for what is `spread`; it holds for the whole process."""
    global _all_threads
    before = 1 if None in (_threads, _set_threads) else int(_threads())
    if before == 1:
        yield
        return
    _all_threads = before
    _set_threads(1)
    try:
        yield
    finally:
        _set_threads(before)
        _all_threads = 1
