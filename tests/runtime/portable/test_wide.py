"""The fast routes: MLX's answers within rounding, a bound on memory, a switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.pte.flatbuffer import record
from harness.pte.payload import MLXGraph, Tid
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.blas import mx
from harness.runtime.portable.ops_linear import OPS
from harness.runtime.portable.slots import Slots
from harness.runtime.portable.wide import Budget, WideWeights

Run = Callable[..., Any]
PACKING = {"group_size": 32, "bits": 4, "mode": "affine"}


def normal(*shape: int, seed: int = 3) -> Any:
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def plenty() -> WideWeights:
    return WideWeights({}, Budget(1 << 20))


def difference(a: Any, b: Any) -> float:
    """Greatest difference, relative to the greatest value."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    x, y = (np.array(t.astype(mx.float32)) for t in (a, b))
    return float(np.abs(x - y).max() / np.abs(y).max())


@pytest.mark.parametrize("bits_free", [0, 1 << 20])
@pytest.mark.parametrize("rows", [1, 8, 9, 20])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_16_bit_product_is_mlxs_within_rounding(
    run_node: Run, rows: int, dtype: Any, with_bias: bool, bits_free: int
) -> None:
    given = {"mat1": normal(rows, 96).astype(dtype), "mat2": normal(96, 40, seed=4).astype(dtype)}
    if with_bias:
        given |= {"bias": normal(40, seed=5).astype(dtype), "alpha": 0.5, "beta": 2.0}
    wide = WideWeights({}, Budget(bits_free))
    stock = run_node("AddmmNode", **given)
    # One rounding of each: half a unit in the last of 8 (bfloat16) places, twice.
    assert difference(run_node("AddmmNode", wide=wide, **given), stock) <= 2**-7


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rows", [1, 20])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32])
def test_a_kept_unpacked_weight_gives_the_product_of_the_packed_one(
    run_node: Run, dtype: Any, rows: int, transpose: bool
) -> None:
    w, scales, biases = mx.quantize(normal(*((64, 96) if transpose else (96, 64))), 32, 4)
    given = {"x": normal(rows, 96).astype(dtype), "w": w, "transpose": transpose, **PACKING}
    given |= {"scales": scales.astype(dtype), "biases": biases.astype(dtype)}
    wide = plenty()
    fast = run_node("QuantizedMatmulNode", wide=wide, **given)
    assert list(wide.kept) == [("its weight",)]
    allowed = 1e-5 if dtype == mx.float32 else 2**-7
    assert difference(fast, run_node("QuantizedMatmulNode", **given)) <= allowed


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 2),
    length=st.integers(1, 9),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    taps=st.integers(1, 7),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    extra=st.integers(0, 3),
)
def test_a_transposed_convolution_of_any_shape_is_mlxs_within_rounding(
    batch: int,
    length: int,
    channels: tuple[int, int],
    taps: int,
    stride: int,
    padding: int,
    extra: int,
) -> None:
    x, w = normal(batch, length, channels[0]), normal(channels[1], taps, channels[0], seed=4)
    extra = min(extra, stride - 1)
    # MLX itself refuses more padding than taps, and an empty result.
    assume(padding < taps and (length - 1) * stride + taps + extra - 2 * padding >= 1)
    numbers = {"stride": stride, "padding": padding, "output_padding": extra}
    fields = {"x": Tid(0), "w": Tid(1), **numbers, "dilation": 1, "groups": 1}
    node = record("ConvTranspose1DNode", tuple(fields))(*fields.values())
    with mx.stream(mx.cpu):
        fast, stock = (
            OPS["ConvTranspose1DNode"](node, Slots([x, w], [], constants=2, wide=wide))
            for wide in (plenty(), None)
        )
    # At most 7 taps of 5 channels are added up in another order.
    np.testing.assert_allclose(np.array(fast), np.array(stock), rtol=1e-5, atol=1e-5)


def test_a_grouped_or_dilated_one_is_left_to_mlx(run_node: Run) -> None:
    x, w = normal(1, 6, 4), normal(6, 3, 2)
    given = {"x": x, "w": w, "stride": 1, "dilation": 1, "groups": 2}
    stock = run_node("ConvTranspose1DNode", **given)
    assert difference(run_node("ConvTranspose1DNode", wide=plenty(), **given), stock) == 0.0


def test_copies_stop_at_the_budget_and_are_not_evicted() -> None:
    nodes = [object(), object(), object()]
    wide = WideWeights({id(node): (i,) for i, node in enumerate(nodes)}, Budget(100))
    made: list[str] = []
    assert wide.get(nodes[0], 60, lambda: made.append("first") or "first") == "first"
    assert wide.get(nodes[1], 60, lambda: "second") is None
    assert wide.get(nodes[2], 40, lambda: "third") == "third"
    assert wide.get(nodes[0], 60, lambda: made.append("again")) == "first"
    assert made == ["first"]
    assert wide.budget.left == 0


def node(name: str, **fields: Any) -> Any:
    return record(name, tuple(fields))(*fields.values())


def graph(*chain: Any, buffers: tuple[Tid, ...] = ()) -> MLXGraph:
    """Constants 0 to 2, a buffer 3, temporaries from 4."""
    return MLXGraph(3, 9, 0, (chain,), 0, None, (), (), buffers, {}, ())


def test_a_weight_is_known_through_its_transposition() -> None:
    turn = node("TransposeNode", x=Tid(0), perm=(1, 0), out=Tid(5))
    multiply = node("AddmmNode", mat1=Tid(4), mat2=Tid(5), out=Tid(6))
    wide = WideWeights.of(graph(turn, multiply), Budget(0))
    assert wide.factors == {id(multiply): (0, "transposed", (1, 0))}


def test_a_slot_that_was_written_again_is_no_weight() -> None:
    turn = node("TransposeNode", x=Tid(0), perm=(1, 0), out=Tid(5))
    reuse = node("AddNode", a=Tid(4), b=Tid(4), out=Tid(5))
    multiply = node("AddmmNode", mat1=Tid(4), mat2=Tid(5), out=Tid(6))
    assert WideWeights.of(graph(turn, reuse, multiply), Budget(0)).factors == {}


def test_a_buffer_that_calls_change_is_no_weight() -> None:
    multiply = node("AddmmNode", mat1=Tid(4), mat2=Tid(3), out=Tid(6))
    update = node("SliceUpdateNode", dst=Tid(3), update=Tid(4), out=Tid(3))
    still = WideWeights.of(graph(multiply, buffers=(Tid(3),)), Budget(0))
    assert still.factors == {id(multiply): (3,)}
    changing = WideWeights.of(graph(multiply, update, buffers=(Tid(3),)), Budget(0))
    assert changing.factors == {}


def test_the_switch_is_an_argument_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "fast routes on" in PortableExecutor().fingerprint.notes
    assert "MLX's own kernels only" in PortableExecutor(fast=False).fingerprint.notes
    assert "MLX's own kernels only" in PortableExecutor(faithful=True).fingerprint.notes
    monkeypatch.setenv("VOXTRAL_PARITY_FAST", "0")
    assert "MLX's own kernels only" in PortableExecutor().fingerprint.notes
    with pytest.raises(InputError, match="fast or faithful, not both"):
        PortableExecutor(faithful=True, fast=True)


@pytest.mark.parametrize("case", ["quantized", "convolutions", "attention"])
def test_a_program_answers_the_same_with_and_without(
    exported: Callable[[str], Any], case: str
) -> None:
    answers = []
    for fast in (True, False):
        executor = PortableExecutor(fast=fast)
        executor.load(exported(case).path)
        answers.append([executor.call(m, inputs)[0] for m, inputs, _ in exported(case).calls])
        executor.close()
    for fast_answer, plain in zip(*answers, strict=True):
        scale = np.abs(plain.astype(np.float32)).max()
        error = np.abs(fast_answer.astype(np.float32) - plain.astype(np.float32)).max()
        assert error <= scale * (2**-7 if plain.dtype.name == "bfloat16" else 1e-5)
