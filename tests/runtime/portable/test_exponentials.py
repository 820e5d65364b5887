"""numpy's exponential in place of MLX's: nearer to float64, and rounded to the operand's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.arrays import BFLOAT16
from harness.runtime.portable.blas import mx
from harness.runtime.portable.exponentials import MANY, sigmoid, silu, softmax
from harness.runtime.portable.fp32_weights import Fp32Weights
from harness.runtime.portable.tensors import to_mlx, to_numpy

X = np.random.default_rng(5).uniform(-30, 30, 2 * MANY).astype(np.float32)


def in_float64(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_sigmoid_is_within_units_in_the_last_place() -> None:
    with mx.stream(mx.cpu):
        got = to_numpy(sigmoid(to_mlx(X)))
    exact = in_float64(X)
    assert np.abs((got - exact) / np.spacing(exact.astype(np.float32))).max() <= 4


def test_sigmoid_of_bfloat16_is_rounded_once() -> None:
    x = X.astype(BFLOAT16)
    with mx.stream(mx.cpu):
        got = to_numpy(sigmoid(to_mlx(x)))
    exact = in_float64(x.astype(np.float32))
    assert got.dtype == BFLOAT16
    assert (got == exact.astype(np.float32).astype(BFLOAT16)).mean() > 0.999
    np.testing.assert_allclose(got.astype(np.float64), exact, rtol=2**-8)


def test_sigmoid_at_the_ends() -> None:
    with mx.stream(mx.cpu):
        got = to_numpy(sigmoid(mx.array([-np.inf, -200.0, 200.0, np.inf, np.nan])))
    np.testing.assert_array_equal(got, np.array([0, 0, 1, 1, np.nan], np.float32))


@pytest.mark.parametrize("dtype", [np.float32, BFLOAT16])
@pytest.mark.parametrize("turned", [False, True])
def test_silu_is_the_product_with_the_sigmoid(dtype: Any, turned: bool) -> None:
    rows = np.concatenate([X, X[:5], X, X[:5]]).reshape(2, -1).astype(dtype)  # no whole blocks
    with mx.stream(mx.cpu):
        x = mx.swapaxes(to_mlx(rows), 0, 1) if turned else to_mlx(rows)
        assert np.array_equal(to_numpy(silu(x)), to_numpy(x * sigmoid(x)))
        exact = to_numpy(x).astype(np.float64) * in_float64(to_numpy(x).astype(np.float32))
        np.testing.assert_allclose(to_numpy(silu(x)).astype(np.float64), exact, rtol=2**-7)


@pytest.mark.parametrize("function", [sigmoid, silu])
def test_what_it_is_given_stays(function: Callable[[Any], Any]) -> None:
    with mx.stream(mx.cpu):
        x = to_mlx(X)
        function(x)
        assert np.array_equal(to_numpy(x), X)


def test_softmax_is_within_units_in_the_last_place() -> None:
    scores = X.reshape(64, -1)
    exact = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    with mx.stream(mx.cpu):
        got = to_numpy(softmax(to_mlx(scores)))
    # The difference to the greatest score is rounded before its exponential is taken.
    units = (4 + scores.max(axis=1, keepdims=True) - scores) * 2.0**-24
    assert (np.abs(got - exact) <= exact * units + 1e-38).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["SiluNode", "SigmoidNode"])
def test_many_elements_take_it_and_few_do_not(run_node: Any, name: str, dtype: str) -> None:
    x = X.astype(BFLOAT16 if dtype == "bfloat16" else dtype)
    for part in (x, x[:8]):
        with mx.stream(mx.cpu):
            given = to_mlx(part)
        fast = to_numpy(run_node(name, x=given, fp32_weights=Fp32Weights()))
        stock = to_numpy(run_node(name, x=given))
        assert (fast.tobytes() == stock.tobytes()) == (part is not x)
    exact = in_float64(x.astype(np.float32)) * (x.astype(np.float64) if name == "SiluNode" else 1)
    rounding = 2**-7 if dtype == "bfloat16" else 1e-6  # two roundings to 8 bits
    fast = to_numpy(run_node(name, x=to_mlx(x), fp32_weights=Fp32Weights()))
    np.testing.assert_allclose(fast.astype(np.float64), exact, rtol=rounding, atol=1e-30)
