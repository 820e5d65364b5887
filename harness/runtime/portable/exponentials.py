"""Functions with an exponential in them, for many elements at a time: numpy's instead of MLX's.

MLX's CPU kernels on Linux take 12 ns for each exponential, one element after another; numpy's take
0.5 ns and are nearer to float64 (2.4 against 62 units in the last place of float32).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.runtime.portable.blas import mx

__all__ = ["MANY", "sigmoid", "softmax"]

MANY = 1 << 14
"""Elements from which on it pays to evaluate what comes before: 0.2 ms in MLX's kernel."""


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) in float32, rounded to the type of `x`."""
    made = mx.negative(x.astype(mx.float32))
    values = _own(made)
    with np.errstate(over="ignore"):
        np.exp(values, out=values)
    values += 1.0
    np.reciprocal(values, out=values)
    return made.astype(x.dtype)


def softmax(scores: Any) -> Any:
    """Softmax over the last axis of `scores`, whose memory it takes: float32, not used again.

    A row of -inf gives NaN.
    """
    values = _own(scores)
    with np.errstate(invalid="ignore"):
        values -= values.max(axis=-1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=-1, keepdims=True)
    return scores


def _own(array: Any) -> Any:
    """The memory of an array that nobody else has seen, so that it may still change."""
    mx.eval(array)
    return np.asarray(memoryview(array))
