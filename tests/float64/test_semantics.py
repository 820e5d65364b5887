"""The meaning of nodes in float64; `tests/runtime/portable` holds every node type against it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from harness.errors import ExecutionError, UnsupportedError
from harness.float64.linear import dequantized
from harness.float64.semantics import OPS, WITHOUT, evaluate
from harness.float64.slots import Kept, Slots
from harness.pte.flatbuffer import record
from harness.pte.payload import Tid
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx


def node(name: str, **fields: Any) -> Any:
    return record(name, tuple(fields))(*fields.values())


def slots(*tensors: np.ndarray) -> Slots:
    return Slots([], Kept(), dict(enumerate(tensors)))


def test_every_node_type_has_a_meaning_or_says_why_not() -> None:
    names = set(mlx_schema().unions["OpNode"])
    assert names == set(OPS) | set(WITHOUT) | {"IfNode", "ScanNode"}


def test_a_node_without_meaning_says_so() -> None:
    with pytest.raises(UnsupportedError, match="RandomBitsNode has no float64 semantics"):
        evaluate(node("RandomBitsNode"), slots())


def test_operands_that_do_not_fit_are_the_programs_fault() -> None:
    a, b = np.zeros(3), np.zeros(4)
    with pytest.raises(ExecutionError, match="AddNode"):
        evaluate(node("AddNode", a=Tid(0), b=Tid(1)), slots(a, b))


def test_nothing_is_rounded() -> None:
    """1 + 2⁻⁴⁰ is lost in every type that a program may have."""
    a, b = np.array([1.0]), np.array([2.0**-40])
    (made,) = evaluate(node("AddNode", a=Tid(0), b=Tid(1)), slots(a, b))
    assert made[0] == 1.0 + 2.0**-40


def test_a_negative_power_of_an_integer_is_0() -> None:
    a, b = np.array([2, -1, 1, 3]), np.array([-1, -3, 0, 2])
    (made,) = evaluate(node("PowerNode", a=Tid(0), b=Tid(1)), slots(a, b))
    assert made.dtype == a.dtype
    assert made.tolist() == [0, 0, 1, 9]
    (made,) = evaluate(node("PowerNode", a=Tid(0), b=Tid(1)), slots(a.astype(np.float64), b))
    assert made.tolist() == [0.5, -1, 1, 9]


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_packed_weights_are_unpacked(bits: int) -> None:
    """A row of 32 numbers, the first in the lowest bits, as a stream of 32-bit words."""
    values = np.arange(32) % 2**bits
    digits = (values[:, None] >> np.arange(bits)) & 1
    words = np.packbits(digits.reshape(-1).astype(np.uint8), bitorder="little").view(np.uint32)
    scale, bias = np.array([[0.5]]), np.array([[-1.0]])
    what = SimpleNamespace(
        w=Tid(0), scales=Tid(1), biases=Tid(2), bits=bits, group_size=32, mode="affine"
    )
    made = dequantized(what, slots(words[None], scale, bias))
    np.testing.assert_array_equal(made[0], 0.5 * values - 1.0)


@pytest.mark.parametrize(
    ("mode", "bits", "group", "scale", "factor"),
    [("mxfp4", 4, 32, 126, 0.5), ("mxfp8", 8, 32, 129, 4.0), ("nvfp4", 4, 16, 0x3C, 1.5)],
)
def test_weights_of_small_floating_point_are_exact(
    mode: str, bits: int, group: int, scale: int, factor: float
) -> None:
    """Every value of the type, NaN aside, times one scale: what MLX's own kernel makes of it."""
    codes = np.arange(2**bits, dtype=np.uint8)
    codes = np.where(codes & 0x7F == 0x7F, 0, codes) if bits == 8 else np.tile(codes, 2)
    packed = codes if bits == 8 else codes[0::2] | codes[1::2] << 4
    words = packed.astype(np.uint8).view(np.uint32)[None]
    scales = np.full((1, codes.size // group), scale, np.uint8)
    what = SimpleNamespace(
        w=Tid(0), scales=Tid(1), biases=None, bits=bits, group_size=group, mode=mode
    )
    made = dequantized(what, slots(words, scales))
    type_ = ml_dtypes.float8_e4m3fn if bits == 8 else ml_dtypes.float4_e2m1fn
    values = codes.astype(np.uint8).view(type_).astype(np.float64)
    np.testing.assert_array_equal(made[0], factor * values)
    kernel = mx.dequantize(
        mx.array(words), mx.array(scales), mode=mode, bits=bits, group_size=group, dtype=mx.float32
    )
    np.testing.assert_array_equal(np.array(kernel), made)


def test_constants_are_widened_exactly() -> None:
    raw = np.array([1.0078125], ml_dtypes.bfloat16)
    held = Slots([raw], Kept())
    assert held.tensor(Tid(0)).dtype == np.float64
    assert held.tensor(Tid(0))[0] == 1.0078125
