"""The off-graph KV cache: what a query attends to, whatever the steps it came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError, InputError, SilentOddityWarning
from harness.pte.flatbuffer import record
from harness.pte.payload import Tid
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import OPS
from harness.runtime.portable.kv_cache import CacheConfig, CacheLayer, SequenceCache
from harness.runtime.portable.slots import Slots

HEADS, WIDTH, LENGTH = 2, 4, 12
RNG = np.random.default_rng(7)
Q = RNG.normal(size=(1, 2 * HEADS, LENGTH, WIDTH)).astype(np.float32)
K = RNG.normal(size=(1, HEADS, LENGTH, WIDTH)).astype(np.float32)
V = RNG.normal(size=(1, HEADS, LENGTH, WIDTH)).astype(np.float32)

FIELDS = ("q", "k", "v", "position", "out", "layer_id", "scale", "out_dtype")
FLOAT16 = 5


def cache(window: int = 0, capacity: int = LENGTH, **given: Any) -> SequenceCache:
    layers = (CacheLayer(HEADS, WIDTH), CacheLayer(HEADS, WIDTH, window))
    return SequenceCache(CacheConfig(capacity, layers, **given))


def attend(
    held: SequenceCache | None,
    start: int,
    stop: int,
    *,
    position: Any = None,
    layer: int | None = 1,
    out_dtype: int | None = None,
    faithful: bool = False,
) -> Any:
    """Run one node on positions `start` to `stop` of the sequence."""
    position = np.arange(start, stop, dtype=np.int32) if position is None else position
    tensors = [mx.array(t[:, :, start:stop]) for t in (Q, K, V)] + [mx.array(position)]
    node = record("UpdateAndAttendNode", FIELDS)(
        *(Tid(i) for i in range(4)), Tid(4), layer, 0.5, out_dtype
    )
    slots = Slots(tensors, [], constants=0, faithful=faithful, cache=held)
    with mx.stream(mx.cpu):
        made = OPS["UpdateAndAttendNode"](node, slots)
        mx.eval(made)
    return made


def expected(window: int = 0) -> np.ndarray:
    """Attention of every position to itself and what came before, `window` of them."""
    keys, values = (np.repeat(t, 2, axis=1).astype(np.float64) for t in (K, V))
    scores = 0.5 * Q.astype(np.float64) @ keys.swapaxes(-1, -2)
    distance = np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH))
    hidden = (distance < 0) | (distance >= (window or LENGTH))
    weights = np.exp(np.where(hidden, -np.inf, scores))
    return (weights / weights.sum(-1, keepdims=True)) @ values


@pytest.mark.parametrize("window", [0, 1, 3, 5, 12, 40])
@pytest.mark.parametrize("steps", [[12], [1] * 12, [3, 1, 1, 3, 3, 1], [2, 3, 2, 3, 2]])
def test_each_query_sees_its_past(window: int, steps: list[int]) -> None:
    most = max(steps)
    held = cache(window, max_write=most)
    ends = np.cumsum(steps)
    parts = [attend(held, int(end - n), int(end)) for n, end in zip(steps, ends, strict=True)]
    got = np.concatenate([np.array(part) for part in parts], axis=2)
    np.testing.assert_allclose(got, expected(window), rtol=0, atol=2e-6)


def test_layers_are_apart() -> None:
    held = cache()
    attend(held, 0, 3, layer=0)
    got = attend(held, 0, 3, layer=1)
    np.testing.assert_allclose(np.array(got), expected()[:, :, :3], rtol=0, atol=2e-6)


def test_a_sequence_can_be_taken_up_again_earlier() -> None:
    held = cache()
    attend(held, 0, 8)
    got = attend(held, 4, 6)
    np.testing.assert_allclose(np.array(got), expected()[:, :, 4:6], rtol=0, atol=2e-6)


def test_storage_and_output_may_have_types_of_their_own() -> None:
    got = attend(cache(scalar_type=FLOAT16), 0, 12)
    assert got.dtype == mx.float32
    error = np.abs(np.array(got) - expected()).max()
    assert 1e-5 < error < 2e-3
    assert attend(cache(), 0, 12, out_dtype=FLOAT16).dtype == mx.float16


@pytest.mark.parametrize(
    ("start", "position", "message"),
    [
        (10, np.array([11, 12], np.int32), "a step of 2 at position 11 does not fit"),
        (0, np.array([-1], np.int32), "at position -1"),
        (0, np.array([2**32 + 3]), "native would silently truncate it"),
        (0, np.array([0.0], np.float32), "must be int32 or int64"),
    ],
)
def test_a_position_outside_is_refused(start: int, position: np.ndarray, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        attend(cache(), start, start + len(position), position=position)


def test_a_faithful_run_truncates_the_position_and_says_so() -> None:
    held = cache()
    attend(held, 0, 3)
    with pytest.warns(SilentOddityWarning, match="4294967299 is truncated to 3"):
        got = attend(held, 3, 4, position=np.array([2**32 + 3]), faithful=True)
    np.testing.assert_allclose(np.array(got), expected()[:, :, 3:4], rtol=0, atol=2e-6)


def test_a_step_longer_than_the_ring_allows_is_refused() -> None:
    with pytest.raises(ExecutionError, match=r"a step of 4 at position 0 .* 3 a step"):
        attend(cache(window=3), 0, 4)


def test_without_a_cache_it_is_refused() -> None:
    with pytest.raises(ExecutionError, match="no KV cache is installed"):
        attend(None, 0, 1)


@pytest.mark.parametrize(("layer", "message"), [(2, "layer 2 of a cache of 2"), (None, "not set")])
def test_a_layer_that_is_not_there_is_refused(layer: int | None, message: str) -> None:
    with pytest.raises(ExecutionError, match=message):
        attend(cache(), 0, 1, layer=layer)


def test_keys_of_another_shape_are_refused() -> None:
    held = SequenceCache(CacheConfig(LENGTH, (CacheLayer(HEADS, WIDTH + 1),)))
    with pytest.raises(ExecutionError, match=r"keys of shape \(1, 2, 1, 4\) do not fit"):
        attend(held, 0, 1, layer=0)


def test_upstreams_form_of_the_sizes() -> None:
    assert CacheConfig.parse("16,2,2,8,5") == CacheConfig(16, (CacheLayer(2, 8),) * 2, 5)
    assert CacheConfig.parse("16,1,2,8").scalar_type == 6


@pytest.mark.parametrize("text", ["", "16,2,2", "16,2,2,x", "16,2,2,8,6,1", "16,0,2,8"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="capacity,n_layers"):
        CacheConfig.parse(text)
