"""Classes of arithmetic, made in numpy and told apart; and what goes by them."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from harness.budget import COMMITTED, MEASURING
from harness.budget.regimes import (
    BF16,
    EXACT,
    NAMES,
    NARROW,
    PRODUCTS,
    TF32,
    class_of,
    half_ulp,
    regime_name,
    terms_of_a_sum,
    unit_roundoff,
)
from harness.fingerprint import UNMEASURED, Regime

Float32 = np.ndarray


def tf32(x: Float32) -> Float32:
    bits = x.view(np.uint32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000).astype(np.uint32).view(np.float32)


def tf32_cut(x: Float32) -> Float32:
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def bf16(x: Float32) -> Float32:
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def summed_in_bf16(a: Float32, b: Float32) -> Float32:
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        total = bf16(total + np.outer(a[:, k], b[k]))
    return total


ARITHMETIC: dict[str, tuple[str, Callable[[Float32, Float32], Float32]]] = {
    "float32": (EXACT, lambda a, b: a @ b),
    "one term after another": (EXACT, lambda a, b: np.cumsum(a[:, :, None] * b, 1)[:, -1]),
    "tf32": (TF32, lambda a, b: tf32(a) @ tf32(b)),
    "tf32, cut off": (TF32, lambda a, b: tf32_cut(a) @ tf32_cut(b)),
    "one operand on fp16's grid": (TF32, lambda a, b: a @ b.astype(np.float16).astype(np.float32)),
    "bf16": (BF16, lambda a, b: bf16(a) @ bf16(b)),
    "one operand in bf16": (BF16, lambda a, b: a @ bf16(b)),
    "added up in bf16": (BF16, summed_in_bf16),
}


@pytest.fixture(params=[8, 67, 1024])
def operands(request: pytest.FixtureRequest) -> tuple[Float32, Float32]:
    """a (9, K) and b (K, 48)."""
    rng = np.random.default_rng(5)
    shapes = ((9, request.param), (request.param, 48))
    first, second = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return first, second


def classify(made: np.ndarray, a: Float32, b: Float32) -> str | None:
    wide = a.astype(np.float64), b.astype(np.float64)
    magnitudes, squares = (f(wide[0]) @ f(wide[1]) for f in (np.abs, np.square))
    return class_of(made, wide[0] @ wide[1], terms_of_a_sum(magnitudes, squares, a.shape[1]))


@pytest.mark.parametrize("name", ARITHMETIC)
def test_a_product_is_of_the_class_of_its_arithmetic(
    name: str, operands: tuple[Float32, Float32]
) -> None:
    expected, multiply = ARITHMETIC[name]
    assert classify(multiply(*operands), *operands) == expected


def test_the_rounding_of_a_result_to_its_own_type_is_free(
    operands: tuple[Float32, Float32],
) -> None:
    a, b = (bf16(x) for x in operands)
    assert classify((a @ b).astype(ml_dtypes.bfloat16), a, b) == EXACT
    assert classify(summed_in_bf16(a, b).astype(ml_dtypes.bfloat16), a, b) in (TF32, BF16)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e38, 2.0])
def test_one_wrong_element_is_of_no_class(wrong: float) -> None:
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((64, 16)), rng.standard_normal((16, 48))
    a, b = a.astype(np.float32), b.astype(np.float32)
    made = a @ b
    made[40, 7] += wrong
    assert classify(made, a, b) is None


def test_half_a_unit_in_the_last_place() -> None:
    values = np.array([0.0, 1.0, -1.5, 2.0, 0.75])
    assert half_ulp(values, "bfloat16").tolist() == [0, 2**-8, 2**-8, 2**-7, 2**-9]
    assert half_ulp(values, "float32")[1] == 2.0**-24


@pytest.mark.parametrize(
    ("products", "name"),
    [
        ({"matrix float32": EXACT, "matrix bfloat16": EXACT}, "exact-f32"),
        ({"matrix float32": TF32, "matrix bfloat16": EXACT}, "tf32-class"),
        ({"matrix float32": EXACT, "convolution float32": TF32}, "tf32-class"),
        ({"matrix float32": EXACT, "quantised bfloat16": BF16}, NARROW),
        # Rounded on the way on every device.
        ({"matrix float32": EXACT, "attention bfloat16": BF16, "sum bfloat16": BF16}, EXACT),
    ],
)
def test_a_regime_is_named_by_its_worst_products(products: dict[str, str], name: str) -> None:
    assert regime_name(products) == name
    assert name in NAMES


@pytest.mark.parametrize(
    ("kind", "dtype", "expected"),
    [
        ("matrix", "float32", 2**-11),
        ("matrix", "bfloat16", 2**-24),
        ("convolution", "float32", 2**-24),
        ("quantised", "bfloat16", 2**-8),  # by the unpacking of its weights
        ("quantised", "float32", 2**-24),
        ("sum", "bfloat16", 2**-8),
        ("attention", "float32", 2**-24),
        ("attention", "bfloat16", 2**-8),  # never less than its own type
        ("function", "float32", 2**-24),
        ("function", "float16", 2**-11),
        ("function", "bfloat16", 2**-8),
        ("exact", "bfloat16", 0.0),
    ],
)
def test_the_unit_roundoff_of_an_instruction_goes_by_what_was_measured(
    kind: str, dtype: str, expected: float
) -> None:
    measured = {"matrix float32": TF32, "unpacking bfloat16": BF16, "sum bfloat16": BF16}
    assert unit_roundoff(kind, dtype, Regime("r", measured, 3)) == expected


@pytest.mark.parametrize("kind", PRODUCTS)
def test_without_a_measurement_sums_are_those_of_a_cpu(kind: str) -> None:
    assert unit_roundoff(kind, "float32", None) == 2.0**-24


@pytest.mark.parametrize(("kind", "dtype"), [("matrix", "int32"), ("product", "float32")])
def test_what_has_no_roundoff_is_refused(kind: str, dtype: str) -> None:
    with pytest.raises(ValueError, match="no unit roundoff is known for"):
        unit_roundoff(kind, dtype, None)


def test_allowances_hold_in_the_regimes_they_were_measured_in() -> None:
    usual = COMMITTED.of("mlx", "bf16-4w8w", "text_decoder")
    assert usual is not None
    assert COMMITTED.of("mlx", "bf16-4w8w", "text_decoder", EXACT) == usual
    assert COMMITTED.of("mlx", "bf16-4w8w", "text_decoder", UNMEASURED) == usual
    narrow = COMMITTED.of("mlx", "bf16-4w8w", "text_decoder", NARROW)
    assert narrow is not None
    assert narrow.cap.max_abs > 2 * usual.cap.max_abs
    assert COMMITTED.of("mlx", "bf16", "codec", NARROW) == COMMITTED.of("mlx", "bf16", "codec")


def test_decisions_may_move_further_where_quantised_sums_are_of_16_bits() -> None:
    usual = COMMITTED.decision("bf16-4w8w")
    narrow = COMMITTED.decision("bf16-4w8w", NARROW)
    assert usual is not None
    assert narrow is not None
    assert (usual.logits, narrow.logits) == (0.6, 1.7)
    assert narrow.levels == usual.levels
    assert COMMITTED.decision("bf16", NARROW) == COMMITTED.decision("bf16")


def test_in_another_regime_nobody_measured_what_counts_as_equal() -> None:
    assert COMMITTED.of("mlx", "fp32", "codec", TF32) is None
    assert COMMITTED.decision("fp32", TF32) is None
    lookup = COMMITTED.of("mlx", "fp32", "token_embedding")
    assert COMMITTED.of("mlx", "fp32", "token_embedding", TF32) == lookup
    anything = MEASURING.of("mlx", "fp32", "codec", TF32)
    assert anything is not None
    assert anything.cap == MEASURING.otherwise
