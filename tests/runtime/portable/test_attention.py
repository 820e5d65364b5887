"""Attention over what a mask leaves is attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.runtime.portable.attention import banded
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


@pytest.mark.parametrize(
    ("queries", "keys", "kv_heads", "kind"),
    [(512, 512, 4, "added"), (700, 700, 2, "true"), (1000, 1100, 4, "added")],
)
def test_a_window_gives_what_the_whole_gives(
    queries: int, keys: int, kv_heads: int, kind: str
) -> None:
    q = draw(1, 4, queries, 32)
    k, v = (draw(1, kv_heads, keys, 32, seed=seed) for seed in (1, 2))
    seen = window(queries, keys, 16)
    mask = added(seen, 4) if kind == "added" else mx.array(seen)

    found = banded(q, k, v, 0.2, mask)

    whole = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.2, mask=mask)
    np.testing.assert_allclose(np.array(found), np.array(whole), rtol=0, atol=1e-6)


def test_each_head_may_see_another_window() -> None:
    q, k, v = (draw(1, 2, 600, 16, seed=seed) for seed in range(3))
    mask = mx.array(np.stack([window(600, 600, 4), window(600, 600, 200)])[None])

    found = banded(q, k, v, 0.25, mask)

    whole = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask=mask)
    np.testing.assert_allclose(np.array(found), np.array(whole), rtol=0, atol=1e-6)


def attend(mask: np.ndarray[Any, Any], **changed: Any) -> Any:
    given = {name: draw(1, 1, 512, 16, seed=seed) for seed, name in enumerate("qkv")} | changed
    return banded(given["q"], given["k"], given["v"], 0.25, mx.array(mask))


def test_a_mask_that_rules_little_out_is_left_to_the_kernel() -> None:
    assert attend(window(512, 512, 16)) is not None
    assert attend(window(512, 512, 300)) is None


def test_queries_that_see_nothing_are_left_to_the_kernel() -> None:
    seen = window(512, 512, 16)
    seen[128:256] = False
    assert attend(seen) is None


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_scores_that_may_not_be_finite_are_left_to_the_kernel(name: str, value: float) -> None:
    """A NaN far outside every window still spoils the kernel's result."""
    odd = draw(1, 1, 512, 16)
    odd[0, 0, 500, 3] = value
    others = {"q": "k", "k": "q"}
    large = {other: draw(1, 1, 512, 16) * 1e3 for other in [others.get(name)] if other}
    left = attend(window(512, 512, 16), **{name: odd}, **large)
    assert (left is None) == (name != "v" or value != 1e38)
