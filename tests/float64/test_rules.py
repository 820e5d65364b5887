"""Bounds on what a node may be off by: wide enough for rounding, narrow enough for a fault."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from harness.arrays import dtype_of
from harness.budget import LOCAL
from harness.float64.local import NodeError, _gain, error_of
from harness.float64.rules import Kind, kind_of, roundoff, spacing
from harness.float64.semantics import OPS, evaluate
from harness.float64.slots import Kept, Slots
from harness.pte.flatbuffer import record
from harness.pte.payload import Tid
from harness.runtime.portable.blas import mx

BF16 = np.dtype(ml_dtypes.bfloat16)


def node(name: str, **fields: Any) -> Any:
    return record(name, tuple(fields))(*fields.values())


def draw(*shape: int) -> np.ndarray:
    """Numbers that bfloat16 holds."""
    return np.random.default_rng(0).normal(size=shape).astype(BF16).astype(np.float64)


def judged(what: Any, made: np.ndarray, *tensors: np.ndarray) -> NodeError:
    held = Slots([], Kept(), dict(enumerate(tensors)))
    (meant,) = evaluate(what, held)
    return error_of(what, held, meant, made)


def test_every_kind_but_one_is_named() -> None:
    assert {kind_of(SimpleNamespace()) for _ in (1,)} == {Kind.EXACT}
    kinds = {name: kind_of(node(name)) for name in OPS}
    assert kinds["TransposeNode"] is Kind.EXACT
    assert kinds["AddNode"] is Kind.ROUNDED
    assert kinds["AddmmNode"] is Kind.PRODUCT


@pytest.mark.parametrize(
    ("dtype", "unit"), [("bfloat16", 2.0**-8), ("float16", 2.0**-11), ("float32", 2.0**-24)]
)
def test_roundoff(dtype: str, unit: float) -> None:
    assert roundoff(dtype) == unit
    numpy = BF16 if dtype == "bfloat16" else np.dtype(dtype)
    assert spacing(np.array([1.0, 3.0]), numpy).tolist() == [2 * unit, 4 * unit]


def test_what_is_meant_beyond_the_type_is_an_infinity_in_it() -> None:
    least = np.full(3, float(np.finfo(np.float32).min))
    what = node("AddNode", a=Tid(0), b=Tid(1))
    with np.errstate(over="ignore"):
        right = (least + least).astype(np.float32)
    assert np.isneginf(right).all()
    assert judged(what, right, least, least).share(LOCAL) == 0.0
    assert judged(what, -right, least, least).share(LOCAL) == np.inf
    assert judged(what, right, least, -least).share(LOCAL) == np.inf


def test_roundings_of_alike_terms_add_up() -> None:
    """MLX adds along an axis that is not the last one by one: 14 units of 256 terms were seen."""
    rows = np.full((256, 4), 0.7) + 0.001 * draw(256, 4)
    what = node("MeanNode", x=Tid(0), axes=(0,), keepdims=False)
    made = np.cumsum(rows.astype(np.float32), axis=0, dtype=np.float32)[-1] / 256
    assert 0 < judged(what, made.astype(np.float32), rows).share(LOCAL) <= 1.0
    assert judged(what, (made * (1 + 90 * 2**-24)).astype(np.float32), rows).share(LOCAL) > 1.0


def test_a_value_moved_by_a_bit_is_wrong_where_nothing_is_computed() -> None:
    x = draw(4, 3)
    what = node("TransposeNode", x=Tid(0), perm=(1, 0))
    right = x.T.astype(np.float32)
    assert judged(what, right, x).share(LOCAL) == 0.0
    wrong = right.copy()
    wrong[1, 2] = np.nextafter(wrong[1, 2], np.float32(9))
    found = judged(what, wrong, x)
    assert found.worst == np.inf
    assert found.index == (1, 2)


def test_a_correctly_rounded_sum_passes_and_one_unit_more_does_not() -> None:
    a, b = draw(64), draw(64)
    what = node("AddNode", a=Tid(0), b=Tid(1))
    right = (a + b).astype(BF16)
    assert judged(what, right, a, b).share(LOCAL) <= 1.0
    wrong = right.copy()
    wrong[7] += spacing(right[7:8].astype(np.float64), BF16)[0]
    assert judged(what, wrong, a, b).index == (7,)
    assert judged(what, wrong, a, b).share(LOCAL) > 1.0


def test_a_product_added_up_in_16_bits_is_wrong() -> None:
    a, b = draw(4, 512), draw(512, 32)
    what = node("AddmmNode", mat1=Tid(0), mat2=Tid(1), bias=None, alpha=1.0, beta=1.0)
    assert judged(what, (a @ b).astype(BF16), a, b).share(LOCAL) <= 1.0
    total = np.zeros((4, 32), BF16)
    for k in range(512):
        total = total + (a[:, k : k + 1] * b[k : k + 1]).astype(BF16)
    assert judged(what, total, a, b).share(LOCAL) > 1.0


def test_a_gain_too_small_for_any_element_is_seen_in_all_of_them() -> None:
    x = draw(64, 64)
    what = node("SoftmaxNode", x=Tid(0), axis=-1, precise=True)
    (meant,) = evaluate(what, Slots([], Kept(), {0: x}))
    right = judged(what, meant.astype(BF16), x)
    assert right.share(LOCAL) <= 1.0
    wrong = judged(what, (meant * 1.003).astype(BF16), x)
    assert wrong.worst <= 1.0
    assert wrong.share(LOCAL) > 1.0


def test_truncation_is_seen_as_a_bias() -> None:
    x = draw(64, 64)
    what = node("SiluNode", x=Tid(0))
    (meant,) = evaluate(what, Slots([], Kept(), {0: x}))
    bits = meant.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    truncated = bits.view(np.float32).astype(BF16)
    found = judged(what, truncated, x)
    assert found.worst <= 1.0
    assert abs(found.bias) > 0.4
    assert found.share(LOCAL) > 1.0


def test_a_missing_infinity_is_wrong() -> None:
    x = np.array([0.0, -np.inf])
    what = node("WhereNode", condition=Tid(0), x=Tid(1), y=Tid(2))
    mask = np.array([True, False])
    made = np.array([1.0, -3e38], np.float32)
    assert judged(what, made, mask, np.ones(2), x).worst == np.inf


def test_of_equal_elements_any_may_be_chosen() -> None:
    x = np.array([[1.0, 5.0, 5.0, 2.0]])
    what = node("ArgmaxNode", x=Tid(0), axis=1, keepdims=False)
    assert judged(what, np.array([2], np.uint32), x).worst == 0.0
    assert judged(what, np.array([3], np.uint32), x).worst == np.inf


def test_attention_with_another_scale_is_seen_though_its_output_hardly_moves() -> None:
    """One key has nearly all of the weight, so that the output's gain says little."""
    q, k, v = 3 * draw(1, 2, 32, 16), draw(1, 2, 32, 16)[:, :, ::-1], draw(1, 2, 32, 16)[..., ::-1]
    fields = {"q": Tid(0), "k": Tid(1), "v": Tid(2), "mask": None, "causal": True}
    right = node("SdpaNode", scale=0.5, **fields)
    wrong = node("SdpaNode", scale=0.5 * 1.01, **fields)
    held = Slots([], Kept(), {0: q, 1: k, 2: v})
    for what, fails in ((right, False), (wrong, True)):
        (meant,) = evaluate(what, held)
        found = judged(right, meant.astype(BF16), q, k, v)
        assert found.worst <= 1.0
        assert (found.share(LOCAL) > 1.0) is fails


@pytest.mark.parametrize(
    ("dtype", "off"), [("float32", 1e-4), ("bfloat16", 0.1), ("float16", 0.015)]
)
def test_scores_whose_products_cancel_may_be_off_by_the_rounding_of_these(
    dtype: str, off: float
) -> None:
    """Two keys a query, as at the edge of the codec's window, and heads of 128 as it has.

    With that scale q is rounded in 16 bits before the product: bfloat16 was at 1.7 of the bound,
    float16 at 1.4.
    """
    rng = np.random.default_rng(0)
    q, k, v = (size * rng.standard_normal((1, 2, 512, 128)) for size in (4, 4, 1))
    behind = np.arange(512)[:, None] - np.arange(512)
    mask = np.where((behind == 0) | (behind == 1), 0, -np.inf)
    kept = [mx.array(a.astype(np.float32)).astype(getattr(mx, dtype)) for a in (q, k, v, mask)]
    scale = 128**-0.5
    *operands, rule = kept
    found = mx.fast.scaled_dot_product_attention(*operands, scale=scale, mask=rule)
    made = np.array(found.astype(mx.float32)).astype(dtype_of(dtype))
    fields = {"q": Tid(0), "k": Tid(1), "v": Tid(2), "mask": Tid(3), "causal": False}
    wide = [np.array(a.astype(mx.float32)).astype(np.float64) for a in kept]
    right = node("SdpaNode", scale=scale, **fields)
    assert judged(right, made, *wide).share(LOCAL) <= 0.8
    other = node("SdpaNode", scale=scale * (1 + off), **fields)
    assert judged(other, made, *wide).share(LOCAL) > 1.0


@pytest.mark.parametrize(("dtype", "size"), [("bfloat16", 8), ("bfloat16", 16), ("float16", 32)])
@pytest.mark.parametrize("keys", [2, 64])
def test_attention_whose_softmax_saturates_says_nothing_of_its_scale(
    dtype: str, size: int, keys: int
) -> None:
    """A few rows decide, all elements of each are off together, and rounding moves whole weights.

    Right kernels were at 207 standard errors by elements, and a scale 58 % off.
    """
    rng = np.random.default_rng(0)
    drawn = (
        a * rng.standard_normal((1, 4, n, 64)) for a, n in ((size, 256), (size, keys), (1, keys))
    )
    kept = [mx.array(a.astype(np.float32)).astype(getattr(mx, dtype)) for a in drawn]
    found = mx.fast.scaled_dot_product_attention(*kept, scale=0.125)
    made = np.array(found.astype(mx.float32)).astype(dtype_of(dtype))
    wide = [np.array(a.astype(mx.float32)).astype(np.float64) for a in kept]
    fields = {"q": Tid(0), "k": Tid(1), "v": Tid(2), "mask": None, "causal": False}
    assert judged(node("SdpaNode", scale=0.125, **fields), made, *wide).share(LOCAL) <= 0.8


def test_one_large_value_says_nothing_of_a_gain() -> None:
    """Five small reciprocals and one of 57: the standard error would be that of one sample."""
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(60)
    error = 1e-3 * direction + 1e-5 * rng.standard_normal(60)
    assert abs(_gain(error, direction)[1]) > 100
    direction[7] = 1e4
    assert _gain(error, direction) == (0.0, 0.0)
