"""Attention over what a mask leaves is attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.runtime.portable.attention import Band, attend
from harness.runtime.portable.blas import mx


def draw(*shape: int, seed: int = 0) -> Any:
    values = np.random.Generator(np.random.Philox(seed)).standard_normal(shape)
    return mx.array(values.astype(np.float32))


def window(queries: int, keys: int, width: int) -> np.ndarray[Any, Any]:
    """Which keys a query sees: itself and the `width` before it."""
    back = np.arange(queries)[:, None] - np.arange(keys)[None, :]
    return (back >= 0) & (back <= width)


def added(seen: np.ndarray[Any, Any], heads: int) -> Any:
    slopes = 0.5 ** np.arange(1, heads + 1)
    biases = np.where(seen, 0.0, -math.inf) - slopes[:, None, None] * np.arange(seen.shape[1])
    return mx.array(biases[None].astype(np.float32))


def whole(q: Any, k: Any, v: Any, scale: float, mask: Any) -> np.ndarray[Any, Any]:
    made = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    return np.array(made.astype(mx.float32))


@pytest.mark.parametrize(
    ("queries", "keys", "kv_heads", "kind"),
    [(512, 512, 4, "added"), (700, 700, 2, "true"), (1000, 1100, 4, "added"), (300, 200, 1, "all")],
)
def test_a_window_gives_what_the_whole_gives(
    queries: int, keys: int, kv_heads: int, kind: str
) -> None:
    q = draw(1, 4, queries, 32)
    k, v = (draw(1, kv_heads, keys, 32, seed=seed) for seed in (1, 2))
    seen = window(queries, keys, 16)
    if kind == "all":
        seen = window(queries, keys, 1000)
        seen[:, 0] = True
    mask = added(seen, 4) if kind == "added" else mx.array(seen[None, None])
    band = Band.of(mask)
    assert (band is None) == (kind == "all")

    found = attend(q, k, v, 0.2, mask, band)

    np.testing.assert_allclose(np.array(found), whole(q, k, v, 0.2, mask), rtol=0, atol=1e-6)


def test_each_head_may_see_another_window() -> None:
    q, k, v = (draw(1, 2, 600, 16, seed=seed) for seed in range(3))
    mask = mx.array(np.stack([window(600, 600, 4), window(600, 600, 200)])[None])

    found = attend(q, k, v, 0.25, mask, Band.of(mask))

    np.testing.assert_allclose(np.array(found), whole(q, k, v, 0.25, mask), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", [None, "causal", "true", "row of false"])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_without_a_window_it_is_mlxs_within_rounding(mask: Any, dtype: Any) -> None:
    q, k, v = (draw(1, 4, 64, 32, seed=seed).astype(dtype) for seed in range(3))
    if mask in ("true", "row of false"):
        seen = window(64, 64, 5)
        seen[7] &= mask == "true"
        mask = mx.array(seen[None, None])

    found = attend(q, k, v, 0.2, mask)

    assert found.dtype == dtype
    allowed = 1e-6 if dtype == mx.float32 else 2**-6  # values up to 3, three roundings to 8 bits
    got = np.array(found.astype(mx.float32))
    np.testing.assert_allclose(got, whole(q, k, v, 0.2, mask), rtol=0, atol=allowed)


def test_little_work_is_left_to_the_kernel() -> None:
    q, k, v = (draw(1, 4, 1, 32, seed=seed) for seed in range(3))
    assert attend(q, k, v, 0.2, None) is None


def test_a_mask_that_rules_little_out_has_no_band() -> None:
    assert Band.of(mx.array(window(512, 512, 16)[None, None])) is not None
    assert Band.of(mx.array(window(512, 512, 300)[None, None])) is None


def test_a_query_that_sees_nothing_has_no_band() -> None:
    seen = window(512, 512, 16)
    seen[200] = False
    assert Band.of(mx.array(seen[None, None])) is None


def test_a_mask_with_nan_has_no_band() -> None:
    mask = np.array(added(window(512, 512, 16), 1))
    mask[0, 0, 300, 500] = math.nan
    assert Band.of(mx.array(mask)) is None


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_scores_that_may_not_be_finite_are_left_to_the_kernel(name: str, value: float) -> None:
    """A NaN far outside every window still spoils the kernel's result."""
    odd = draw(1, 1, 512, 16)
    odd[0, 0, 500, 3] = value
    others = {"q": "k", "k": "q"}
    given = {name: draw(1, 1, 512, 16, seed=seed) for seed, name in enumerate("qkv")}
    given |= {other: draw(1, 1, 512, 16) * 1e3 for other in [others.get(name)] if other}
    given[name] = odd
    mask = mx.array(window(512, 512, 16)[None, None])
    found = attend(given["q"], given["k"], given["v"], 0.25, mask, Band.of(mask))
    assert (found is None) == (name != "v" or value != 1e38)
