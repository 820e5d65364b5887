"""The fast routes: MLX's answers within rounding, a bound on memory, a switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.flatbuffer import record
from harness.pte.payload import Dim, MLXGraph, TensorMeta, Tid
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.blas import mx
from harness.runtime.portable.fp32_weights import Fp32Weights, choose_weights
from harness.runtime.portable.ops_linear import OPS
from harness.runtime.portable.slots import Slots

Run = Callable[..., Any]
PACKING = {"group_size": 32, "bits": 4, "mode": "affine"}


def normal(*shape: int, seed: int = 3) -> Any:
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def plenty() -> Fp32Weights:
    return Fp32Weights()


def difference(a: Any, b: Any) -> float:
    """Greatest difference, relative to the greatest value."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    x, y = (np.array(t.astype(mx.float32)) for t in (a, b))
    return float(np.abs(x - y).max() / np.abs(y).max())


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("rows", [1, 8, 9, 20])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_16_bit_product_is_mlxs_within_rounding(
    run_node: Run, rows: int, dtype: Any, with_bias: bool, keep: bool
) -> None:
    given = {"mat1": normal(rows, 96).astype(dtype), "mat2": normal(96, 40, seed=4).astype(dtype)}
    if with_bias:
        given |= {"bias": normal(40, seed=5).astype(dtype), "alpha": 0.5, "beta": 2.0}
    stock = run_node("AddmmNode", **given)
    # One rounding of each: half a unit in the last of 8 (bfloat16) places, twice.
    made = run_node("AddmmNode", fp32_weights=plenty(), keep=keep, **given)
    assert difference(made, stock) <= 2**-7


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rows", [1, 20])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float32])
def test_a_kept_unpacked_weight_gives_the_product_of_the_packed_one(
    run_node: Run, dtype: Any, rows: int, transpose: bool
) -> None:
    w, scales, biases = mx.quantize(normal(*((64, 96) if transpose else (96, 64))), 32, 4)
    given = {"x": normal(rows, 96).astype(dtype), "w": w, "transpose": transpose, **PACKING}
    given |= {"scales": scales.astype(dtype), "biases": biases.astype(dtype)}
    copies = plenty()
    fast = run_node("QuantizedMatmulNode", fp32_weights=copies, **given)
    assert list(copies.kept) == [("its weight",)]
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
            OPS["ConvTranspose1DNode"](node, Slots([x, w], [], constants=2, fp32_weights=copies))
            for copies in (plenty(), None)
        )
    # At most 7 taps of 5 channels are added up in another order.
    np.testing.assert_allclose(np.array(fast), np.array(stock), rtol=1e-5, atol=1e-5)


def test_a_grouped_or_dilated_one_is_left_to_mlx(run_node: Run) -> None:
    x, w = normal(1, 6, 4), normal(6, 3, 2)
    given = {"x": x, "w": w, "stride": 1, "dilation": 1, "groups": 2}
    stock = run_node("ConvTranspose1DNode", **given)
    assert difference(run_node("ConvTranspose1DNode", fp32_weights=plenty(), **given), stock) == 0.0


def node(name: str, **fields: Any) -> Any:
    return record(name, tuple(fields))(*fields.values())


def graph(*chain: Any, buffers: tuple[Tid, ...] = ()) -> MLXGraph:
    """Constants 0 to 2 of 5 × 2 bfloat16 numbers, such a buffer 3, temporaries from 4."""
    meta = TensorMeta((Dim(5, 5), Dim(2, 2)), SCALAR_TYPES[15])
    return MLXGraph(3, 9, 0, (chain,), 0, None, (), (), buffers, {}, (meta,) * 4)


def multiply(weight: int) -> Any:
    return node("AddmmNode", mat1=Tid(4), mat2=Tid(weight), out=Tid(6))


def turn(weight: int, out: int = 5) -> Any:
    return node("TransposeNode", x=Tid(weight), perm=(1, 0), out=Tid(out))


def chosen(*chain: Any, budget: int = 1000, **given: Any) -> dict[int, Any]:
    (copies,) = choose_weights([graph(*chain, **given)], budget)
    return dict(copies.chosen)


def test_a_weight_is_known_through_its_transposition() -> None:
    product = multiply(5)
    assert chosen(turn(0), product) == {id(product): (0, "transposed", (1, 0))}


def test_a_slot_that_was_written_again_is_no_weight() -> None:
    reuse = node("AddNode", a=Tid(4), b=Tid(4), out=Tid(5))
    assert chosen(turn(0), reuse, multiply(5)) == {}


def test_a_buffer_that_calls_change_is_no_weight() -> None:
    product = multiply(3)
    update = node("SliceUpdateNode", dst=Tid(3), update=Tid(4), out=Tid(3))
    assert chosen(product, buffers=(Tid(3),)) == {id(product): (3,)}
    assert chosen(product, update, buffers=(Tid(3),)) == {}


def test_copies_stop_at_the_budget() -> None:
    # A copy takes 40 bytes, one of the same weight nothing more.
    first, second, again, third = multiply(0), multiply(1), multiply(0), multiply(2)
    assert chosen(first, second, again, third, budget=80) == {
        id(first): (0,),
        id(second): (1,),
        id(again): (0,),
    }


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one"), ("two",)])
def test_which_weights_are_kept_does_not_depend_on_what_ran_before(
    exported: Callable[[str], Any], order: tuple[str, ...]
) -> None:
    program = exported("twins")
    executor = PortableExecutor(fp32_bytes=4 * 8 * 16)  # one of the two
    executor.load(program.path)
    inputs = {method: given for method, given, _ in program.calls}
    kept, made = {}, {}
    for method in order:
        made[method] = executor.call(method, inputs[method])[0].tobytes()
        (delegate,) = executor.prepare(method).delegates.values()
        kept[method] = len(delegate.fp32_weights.kept) if delegate.fp32_weights else None
    assert kept == {method: {"one": 1, "two": 0}[method] for method in order}
    alone = PortableExecutor(fp32_bytes=4 * 8 * 16)
    alone.load(program.path)
    assert alone.call("two", inputs["two"])[0].tobytes() == made["two"]


def test_a_copy_is_made_once() -> None:
    product = object()
    copies = Fp32Weights({id(product): ("weight",)})
    made: list[str] = []
    for name in ("first", "again"):
        assert copies.get(product, lambda name=name: made.append(name) or name) == "first"
    assert copies.get(object(), lambda: "other") is None
    assert made == ["first"]


def test_the_switch_is_an_argument_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "fast routes on" in PortableExecutor().fingerprint.notes
    assert "MLX's own kernels only" in PortableExecutor(fast=False).fingerprint.notes
    assert "MLX's own kernels only" in PortableExecutor(faithful=True).fingerprint.notes
    monkeypatch.setenv("VOXTRAL_PARITY_FAST", "0")
    assert "MLX's own kernels only" in PortableExecutor().fingerprint.notes
    with pytest.raises(InputError, match="one of fast, faithful"):
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
