"""Each node type computes what upstream's interpreter computes, and refuses what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

from harness.errors import ExecutionError, MachineError
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import OPS, UNSUPPORTED

Run = Callable[..., Any]
FLOAT32, INT32, INT64, BFLOAT16 = 6, 3, 4, 15
X = np.array([[0.5, -0.25, 0.75], [-0.5, 0.125, 0.875]], np.float32)
LARGE = 1.5 + np.abs(X)
INTS = np.array([[7, -7, 8], [-8, 5, 1]], np.int32)


def rows(*shape: int) -> np.ndarray:
    """0, 1, 2, … in that shape."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def close(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(got), expected, rtol=2e-6, atol=2e-7)


def test_every_node_type_runs_or_says_why_not() -> None:
    names = set(mlx_schema().unions["OpNode"])
    assert names == set(OPS) | set(UNSUPPORTED) | {"IfNode", "ScanNode"}


BOTH_SIGNS = np.array([[0.5, -0.25, 1.75], [-1.5, 0.125, 2.875], [0.0, -3.0, 2.5]], np.float32)
TIED = np.array([[0.5, 0.25, 1.75], [-1.5, 0.5, 2.0], [0.0, 3.0, 2.5]], np.float32)
TRUTH, OTHER = (np.array(x, np.float32) for x in ([2, 1, 0, 0, 5], [3, 0, 4, 0, 5]))
BITS, OTHER_BITS = np.array([12, -7, 1], np.int32), np.array([10, 5, 1], np.int32)

OF_ONE: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "AbsNode": (np.abs, BOTH_SIGNS),
    "ArccosNode": (np.arccos, X),
    "ArccoshNode": (np.arccosh, LARGE),
    "ArcsinNode": (np.arcsin, X),
    "ArcsinhNode": (np.arcsinh, X),
    "ArctanNode": (np.arctan, X),
    "ArctanhNode": (np.arctanh, X),
    "BitwiseInvertNode": (np.bitwise_not, INTS),
    "CeilNode": (np.ceil, BOTH_SIGNS),
    "ContiguousNode": (np.asarray, BOTH_SIGNS),
    "CosNode": (np.cos, X),
    "CoshNode": (np.cosh, X),
    "ErfNode": (special.erf, X),
    "ExpNode": (np.exp, X),
    "Expm1Node": (np.expm1, X),
    "FloorNode": (np.floor, BOTH_SIGNS),
    "IdCopyNode": (np.asarray, BOTH_SIGNS),
    "Log10Node": (np.log10, LARGE),
    "Log1pNode": (np.log1p, X),
    "Log2Node": (np.log2, LARGE),
    "LogNode": (np.log, LARGE),
    "LogicalNotNode": (np.logical_not, BOTH_SIGNS),
    "NegNode": (np.negative, BOTH_SIGNS),
    "ReciprocalNode": (np.reciprocal, X),
    "RsqrtNode": (lambda x: 1 / np.sqrt(x), LARGE),
    "SigmoidNode": (special.expit, X),
    "SignNode": (np.sign, BOTH_SIGNS),
    "SiluNode": (lambda x: x * special.expit(x), X),
    "SinNode": (np.sin, X),
    "SinhNode": (np.sinh, X),
    "SqrtNode": (np.sqrt, LARGE),
    "SquareNode": (np.square, BOTH_SIGNS),
    "TanNode": (np.tan, X),
    "TanhNode": (np.tanh, X),
    "TruncNode": (np.trunc, BOTH_SIGNS),
}

OF_TWO: dict[str, tuple[Callable[..., Any], np.ndarray, np.ndarray]] = {
    "AddNode": (np.add, X, LARGE),
    "Atan2Node": (np.arctan2, X, LARGE),
    "BitwiseAndNode": (np.bitwise_and, BITS, OTHER_BITS),
    "BitwiseOrNode": (np.bitwise_or, BITS, OTHER_BITS),
    "BitwiseXorNode": (np.bitwise_xor, BITS, OTHER_BITS),
    "DivideNode": (np.divide, X, LARGE),
    "EqualNode": (np.equal, BOTH_SIGNS, TIED),
    "FloorDivideNode": (np.floor_divide, BOTH_SIGNS, np.float32(0.3) + np.abs(TIED)),
    "GreaterEqualNode": (np.greater_equal, BOTH_SIGNS, TIED),
    "GreaterNode": (np.greater, BOTH_SIGNS, TIED),
    "LessEqualNode": (np.less_equal, BOTH_SIGNS, TIED),
    "LessNode": (np.less, BOTH_SIGNS, TIED),
    "LogAddExpNode": (np.logaddexp, X, LARGE),
    "LogicalAndNode": (np.logical_and, TRUTH, OTHER),
    "LogicalOrNode": (np.logical_or, TRUTH, OTHER),
    "MaximumNode": (np.maximum, BOTH_SIGNS, TIED),
    "MinimumNode": (np.minimum, BOTH_SIGNS, TIED),
    "MultiplyNode": (np.multiply, X, LARGE),
    "NotEqualNode": (np.not_equal, BOTH_SIGNS, TIED),
    "PowerNode": (np.power, LARGE, X),
    "RemainderNode": (np.remainder, INTS, np.int32(3) + 0 * INTS),
    "SubtractNode": (np.subtract, X, LARGE),
}

REDUCED = np.array([[0.5, -0.25, 0.0, 2.0], [-0.5, 0.125, 0.875, 3.0], [0, 0, 0, 0]], np.float32)
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "AllNode": np.all,
    "AnyNode": np.any,
    "MaxNode": np.max,
    "MeanNode": np.mean,
    "MedianNode": np.median,
    "MinNode": np.min,
    "ProdNode": np.prod,
    "StdNode": np.std,
    "SumNode": np.sum,
    "VarNode": np.var,
}


def same(got: Any, expected: Any) -> None:
    """Equal within rounding, and truth values where those are expected."""
    assert (np.array(got).dtype == bool) == (np.asarray(expected).dtype == bool)
    close(got, expected)


def check_one(run_node: Run, name: str, node: str) -> None:
    """Hold `node` against the function of `name`."""
    function, x = OF_ONE[name]
    same(run_node(node, x=x), function(x))


def check_two(run_node: Run, name: str, node: str) -> None:
    function, a, b = OF_TWO[name]
    same(run_node(node, a=a, b=b), function(a, b))


def check_reduction(run_node: Run, name: str, node: str) -> None:
    for axes in ((), (1,), (0, 1)):
        same(run_node(node, x=REDUCED, axes=axes), REDUCTIONS[name](REDUCED, axis=axes or None))
        kept = run_node(node, x=REDUCED, axes=axes, keepdims=True)
        assert kept.shape == np.sum(REDUCED, axis=axes or None, keepdims=True).shape


CHECKS = [(check_one, OF_ONE), (check_two, OF_TWO), (check_reduction, REDUCTIONS)]


@pytest.mark.parametrize(
    ("check", "name"), [(check, name) for check, table in CHECKS for name in table]
)
def test_function(run_node: Run, check: Callable[..., None], name: str) -> None:
    check(run_node, name, name)


@pytest.mark.parametrize(("check", "table"), CHECKS)
def test_no_two_functions_can_be_swapped(
    run_node: Run, check: Callable[..., None], table: dict[str, Any]
) -> None:
    """Each case is red with the function of any other node that takes the same operands."""
    green = set()
    for name in table:
        for other in table:
            try:
                check(run_node, name, other)
            except (AssertionError, ExecutionError):
                continue
            green.add((name, other))
    expected = {(name, name) for name in table}
    if table is OF_ONE:  # both give what they get; memory order is not seen in values
        expected |= {("ContiguousNode", "IdCopyNode"), ("IdCopyNode", "ContiguousNode")}
    assert green == expected


@pytest.mark.parametrize("name", ["StdNode", "VarNode"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_degrees_of_freedom(run_node: Run, name: str, ddof: int) -> None:
    close(run_node(name, x=X, axes=(1,), ddof=ddof), REDUCTIONS[name](X, axis=1, ddof=ddof))


def test_log_sum_exp_without_axes_reduces_nothing(run_node: Run) -> None:
    close(run_node("LogSumExpNode", x=X, axes=()), X)
    close(run_node("LogSumExpNode", x=X, axes=(1,)), special.logsumexp(X, axis=1))


def test_order(run_node: Run) -> None:
    close(run_node("SortNode", x=X, axis=1), np.sort(X, axis=1))
    close(run_node("ArgsortNode", x=X, axis=1), np.argsort(X, axis=1))
    close(run_node("ArgmaxNode", x=X, axis=1), [2, 2])
    close(run_node("ArgminNode", x=X, axis=0, keepdims=True), [[1, 0, 0]])
    assert np.array(run_node("PartitionNode", x=X, kth=1, axis=1))[0, 1] == 0.5
    assert int(run_node("ArgPartitionNode", x=X, kth=1, axis=1)[0, 1]) == 0
    close(run_node("CumsumNode", x=X, axis=1), np.cumsum(X, axis=1))
    backwards = run_node("CumsumNode", x=X, axis=1, reverse=True, inclusive=False)
    close(backwards, [[0.5, 0.75, 0.0], [1.0, 0.875, 0.0]])


def test_gelu_by_erf_and_by_tanh(run_node: Run) -> None:
    exact = X * 0.5 * (1 + special.erf(X / np.sqrt(2)))
    close(run_node("GeluNode", x=X, approximate="none"), exact)
    inner = np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)
    close(run_node("GeluNode", x=X, approximate="tanh"), 0.5 * X * (1 + np.tanh(inner)))


def test_integer_floor_division_keeps_upstreams_fraction(run_node: Run) -> None:
    a, b = np.array([7, -7, -8], np.int32), np.array([2, 2, 2], np.int32)
    got = run_node("FloorDivideNode", a=a, b=b, meant=False)
    assert got.dtype == mx.float32
    assert got.tolist() == [3.5, -4.5, -4.0]
    assert got.astype(mx.int32).tolist() == [3, -4, -4]


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("AddIntNode", 3, 4, 7),
        ("SubtractIntNode", 3, 4, -1),
        ("MultiplyIntNode", 3, -4, -12),
        ("FloorDivideIntNode", -7, 2, -4),
        ("ModIntNode", -7, 2, 1),
        ("ModIntNode", 7, -2, -1),
    ],
)
def test_integer_arithmetic(
    run_node: Run, dynamic: Any, name: str, a: int, b: int, expected: int
) -> None:
    assert run_node(name, a=a, b=dynamic(b)) == expected


@pytest.mark.parametrize(
    ("name", "a", "b"),
    [
        ("AddIntNode", 2**31 - 1, 1),
        ("SubtractIntNode", -(2**31), 1),
        ("MultiplyIntNode", 2**16, 2**15),
        ("FloorDivideIntNode", -(2**31), -1),
    ],
)
def test_integer_overflow_is_refused(run_node: Run, name: str, a: int, b: int) -> None:
    with pytest.raises(ExecutionError, match="overflows 32 bits"):
        run_node(name, a=a, b=b)


def test_a_64_bit_literal_is_held_within_32_bits(run_node: Run) -> None:
    assert run_node("SubtractIntNode", a=2**63 - 1, b=1) == 2**31 - 2


def test_item_reads_integers_only(run_node: Run) -> None:
    assert run_node("ItemIntNode", x=np.array([5])) == 5
    with pytest.raises(ExecutionError, match="native would read garbage"):
        run_node("ItemIntNode", x=np.array([5.0], np.float32))
    with pytest.raises(ExecutionError, match="one element"):
        run_node("ItemIntNode", x=np.array([5, 6]))


def test_sym_size(run_node: Run) -> None:
    assert run_node("SymSizeNode", a=X, dim=-1) == 3
    with pytest.raises(ExecutionError, match="axis 2 is out of range for 2 dimensions"):
        run_node("SymSizeNode", a=X, dim=2)


def test_where_clip_round_and_cast(run_node: Run) -> None:
    close(run_node("WhereNode", condition=X > 0, x=X, y=LARGE), np.where(X > 0, X, LARGE))
    low, high = np.float32(-0.3), np.float32(0.6)
    close(run_node("ClipNode", x=X, a_min=np.array(low), a_max=np.array(high)), X.clip(low, high))
    close(run_node("ClipNode", x=X, a_max=np.array(high)), np.minimum(X, high))
    close(run_node("RoundNode", x=X, decimals=1), [[0.5, -0.2, 0.8], [-0.5, 0.1, 0.9]])
    assert run_node("AsTypeNode", x=X, scalar_type=BFLOAT16).dtype == mx.bfloat16
    with pytest.raises(ExecutionError, match="ScalarType 7 does not exist"):
        run_node("AsTypeNode", x=X, scalar_type=7)


def test_softmax(run_node: Run) -> None:
    close(run_node("SoftmaxNode", x=X, axis=-1, precise=True), special.softmax(X, axis=-1))


def test_reshape_and_rearrange(run_node: Run, dynamic: Any) -> None:
    x = rows(2, 3, 4)
    close(run_node("ReshapeNode", x=x, shape=(dynamic(4), -1)), x.reshape(4, 6))
    close(run_node("TransposeNode", x=x, perm=(2, 0, 1)), x.transpose(2, 0, 1))
    close(run_node("ExpandDimsNode", x=x, axis=-2), x[:, :, None])
    close(run_node("SqueezeNode", x=x[:, :1], dims=(0, 1)), x[:, 0])
    close(run_node("SqueezeNode", x=x[:1, :1], dims=()), x[0, 0])
    close(run_node("FlipNode", x=x, axes=(0, 2)), x[::-1, :, ::-1])
    close(run_node("RollNode", x=x, shift=(1, -2), axes=(0, 2)), np.roll(x, (1, -2), (0, 2)))
    close(run_node("RollNode", x=x, shift=(), axes=()), x)
    close(run_node("TileNode", x=x, reps=(2, 1, 1, 3)), np.tile(x, (2, 1, 1, 3)))
    close(run_node("RepeatNode", x=x, repeats=3, axis=-2), x.repeat(3, axis=1))
    close(
        run_node("BroadcastToNode", x=x[:, :1], shape=(5, -1, 3, -1)),
        np.broadcast_to(x[:, :1], (5, 2, 3, 4)),
    )
    close(
        run_node("AsStridedNode", x=x, shape=(3, 4), strides=(1, 4), offset=2),
        np.array([[2, 6, 10, 14], [3, 7, 11, 15], [4, 8, 12, 16]]),
    )
    close(run_node("ConcatenateNode", tensors=[x, x[:1]], axis=0), np.concatenate([x, x[:1]]))
    close(run_node("StackNode", tensors=[x, x], axis=1), np.stack([x, x], axis=1))
    close(run_node("TrilNode", x=x, k=-1), np.tril(x, -1))
    close(run_node("TriuNode", x=x, k=1), np.triu(x, 1))


def test_a_strided_view_stays_inside(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="spans elements 0 to 6 of 6"):
        run_node("AsStridedNode", x=X, shape=(2, 4), strides=(3, 1))


def test_a_new_axis_out_of_range_is_refused(run_node: Run) -> None:
    # What upstream's stock lowering of `logit[:, 0] = -inf` runs into.
    with pytest.raises(ExecutionError, match=r"\[expand_dims\] Axis 1 is out of bounds"):
        run_node("ExpandDimsNode", x=np.array(1.0, np.float32), axis=1)


@pytest.mark.parametrize(
    ("start", "stop", "step"),
    [
        (1, 3, 1),
        (-3, -1, 1),
        (1, 2**63 - 1, 2),
        (-100, 2, 1),
        (-1, -100, -1),
        (3, 0, -2),
        (4, 2, 1),
    ],
)
def test_slices_clamp_and_count_from_the_end(
    run_node: Run, start: int, stop: int, step: int
) -> None:
    x = rows(2, 5)
    close(
        run_node("SliceNode", x=x, axis=-1, start=start, stop=stop, step=step),
        x[:, start:stop:step],
    )


def test_slice_refuses_step_0_and_a_missing_axis(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="step of a slice is 0"):
        run_node("SliceNode", x=X, axis=0, start=0, stop=1, step=0)
    with pytest.raises(ExecutionError, match="axis 2 is out of range for 2 dimensions"):
        run_node("SliceNode", x=X, axis=2, start=0, stop=1, step=1)


def test_split_by_size_and_by_sizes(run_node: Run) -> None:
    x = rows(1, 7)
    chunks = run_node("SplitNode", x=x, sizes=(3,), outs=(0, 1, 2), axis=1)
    assert [c.shape[1] for c in chunks] == [3, 3, 1]
    parts = run_node("SplitNode", x=x, sizes=(2, 4, 1), outs=(0, 1, 2), axis=-1)
    close(parts[1], x[:, 2:6])
    with pytest.raises(ExecutionError, match="3 chunks for 2 outputs"):
        run_node("SplitNode", x=x, sizes=(3,), outs=(0, 1), axis=1)
    with pytest.raises(ExecutionError, match=r"sizes \(5, 4, 1\) do not fit an axis of 7"):
        run_node("SplitNode", x=x, sizes=(5, 4, 1), outs=(0, 1, 2), axis=1)


def test_pad_modes(run_node: Run) -> None:
    widths = (0, 0, 2, 1)
    close(
        run_node("PadNode", x=X, pad_width=widths, mode="constant", constant_value=9.0),
        np.pad(X, ((0, 0), (2, 1)), constant_values=9),
    )
    close(
        run_node("PadNode", x=X, pad_width=widths, mode="edge"),
        np.pad(X, ((0, 0), (2, 1)), mode="edge"),
    )
    with pytest.raises(ExecutionError, match="pad mode must be constant or edge"):
        run_node("PadNode", x=X, pad_width=widths, mode="reflect")


def test_full_and_ranges_have_the_asked_type(run_node: Run, dynamic: Any) -> None:
    full = run_node("FullNode", shape=(2, dynamic(3)), v=3.7, scalar_type=INT64)
    assert full.dtype == mx.int64
    assert full.tolist() == [[3, 3, 3]] * 2
    like = run_node("FullLikeNode", x=INTS, v=dynamic(5))
    assert like.dtype == mx.int32
    assert like.tolist() == [[5, 5, 5]] * 2
    assert run_node("ARangeNode", start=5, stop=0, step=-2).tolist() == [5, 3, 1]
    assert run_node("ARangeNode", start=0, stop=2, step=1, scalar_type=FLOAT32).dtype == mx.float32
    close(run_node("TriNode", n=3, m=dynamic(4), k=1, scalar_type=FLOAT32), np.tri(3, 4, 1))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("FullNode", {"shape": (2, 0), "v": 0.0, "scalar_type": FLOAT32}, "not positive"),
        ("FullNode", {"shape": (2**15, 2**16), "v": 0.0, "scalar_type": FLOAT32}, "more than 4 GB"),
        ("FullNode", {"shape": (2,), "v": 3e9, "scalar_type": INT32}, "does not fit"),
        ("FullNode", {"shape": (2,), "v": float("inf"), "scalar_type": INT64}, "does not fit"),
        ("ARangeNode", {"start": 3, "stop": 3, "step": 1}, "not positive"),
        ("ARangeNode", {"start": 0, "stop": 3, "step": 0}, "step of a range is 0"),
        ("TriNode", {"n": 0, "m": 2, "scalar_type": FLOAT32}, "not positive"),
        ("RepeatNode", {"x": X, "repeats": 0, "axis": 0}, "not positive"),
        ("TileNode", {"x": X, "reps": (2**20, 2**20)}, "more than 4 GB"),
    ],
)
def test_what_upstream_does_not_make_is_refused(
    run_node: Run, name: str, given: dict[str, Any], message: str
) -> None:
    kind = MachineError if name == "TileNode" else ExecutionError
    with pytest.raises(kind, match=message):
        run_node(name, **given)
