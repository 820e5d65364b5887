"""Element-wise nodes, integer values, reductions, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import ExecutionError
from harness.float64.slots import Slots, is_float
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.payload import Node

__all__ = ["OPS", "numpy_type", "sigmoid", "softmax"]

Op = Callable[[Node, Slots], Any]


def numpy_type(scalar_type: int) -> np.dtype[Any]:
    """In which type a declared ScalarType is held: float64 for all floating point."""
    found = SCALAR_TYPES.get(scalar_type)
    if found is None:
        raise ExecutionError(f"ScalarType {scalar_type} does not exist in MLX's delegate")
    return np.dtype(np.float64) if is_float(found.numpy) else found.numpy


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def softmax(x: Array, axis: int = -1) -> Array:
    """Softmax along an axis; a row of −inf alone becomes NaN, as by the formula."""
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def _erf(x: Array) -> Array:
    from scipy.special import erf

    found: Array = erf(x)
    return found


def _gelu(n: Node, s: Slots) -> Array:
    x = s.tensor(n.x)
    if n.approximate == "tanh":
        return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1.0 + _erf(x / np.sqrt(2.0)))


def _as_type(n: Node, s: Slots) -> Array:
    x, target = s.tensor(n.x), numpy_type(n.scalar_type)
    if target.kind in "iu" and is_float(x.dtype):
        return np.trunc(x).astype(target)
    return x.astype(target)


def _clip(n: Node, s: Slots) -> Array:
    x, low, high = s.tensor(n.x), s.optional(n.a_min), s.optional(n.a_max)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _item(n: Node, s: Slots) -> int:
    x = s.tensor(n.x)
    if x.size != 1:
        raise ExecutionError(f"one element is needed for an integer value, got shape {x.shape}")
    return int(x.reshape(-1)[0])


def _round(n: Node, s: Slots) -> Array:
    return np.asarray(np.round(s.tensor(n.x), n.decimals))


def _axes(n: Node) -> dict[str, Any]:
    return {"axis": tuple(n.axes) or None, "keepdims": n.keepdims}


def _reduction(function: Callable[..., Any]) -> Op:
    return lambda n, s: np.asarray(function(s.tensor(n.x), **_axes(n)))


def _spread(function: Callable[..., Any]) -> Op:
    return lambda n, s: np.asarray(function(s.tensor(n.x), **_axes(n), ddof=n.ddof))


def _arg(function: Callable[..., Any]) -> Op:
    return lambda n, s: np.asarray(
        function(s.tensor(n.x), axis=n.axis, keepdims=n.keepdims)
    ).astype(np.uint32)


def _logsumexp(n: Node, s: Slots) -> Array:
    x, axes = s.tensor(n.x), tuple(n.axes)
    if not axes:  # upstream passes the empty list on: no reduction
        return x
    top = np.max(x, axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    found = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True)) + top
    return found if n.keepdims else np.squeeze(found, axes)


def _cumsum(n: Node, s: Slots) -> Array:
    x = s.tensor(n.x)
    x = np.flip(x, n.axis) if n.reverse else x
    total = np.cumsum(x, axis=n.axis, dtype=x.dtype if is_float(x.dtype) else None)
    total = total.astype(x.dtype) if x.dtype.kind in "iu" else total
    if not n.inclusive:
        total = np.roll(total, 1, n.axis)
        total[(slice(None),) * (n.axis % x.ndim) + (0,)] = 0
    return np.flip(total, n.axis) if n.reverse else total


def _argsort(n: Node, s: Slots) -> Array:
    return np.argsort(s.tensor(n.x), axis=n.axis, kind="stable").astype(np.uint32)


def _power(a: Array, b: Array) -> Array:
    if "f" in a.dtype.kind + b.dtype.kind:
        return np.asarray(np.power(a, b))
    # MLX's binary_ops.h: an integer to a negative power is 0, whatever the integer.
    return np.asarray(np.where(b < 0, 0, np.power(a, np.maximum(b, 0))))


def _atan2(a: Array, b: Array) -> Array:
    return np.asarray(np.arctan2(a, b, dtype=np.float64))  # of bools numpy makes 16 bits


def _divide(a: Array, b: Array) -> Array:
    return np.asarray(np.true_divide(a, b, dtype=np.float64))


def _integer(function: Callable[[int, int], int]) -> Op:
    return lambda n, s: function(int(s.value(n.a)), int(s.value(n.b)))


_REAL: dict[str, Callable[..., Any]] = {
    "ArccosNode": np.arccos, "ArccoshNode": np.arccosh, "ArcsinNode": np.arcsin,
    "ArcsinhNode": np.arcsinh, "ArctanNode": np.arctan, "ArctanhNode": np.arctanh,
    "CosNode": np.cos, "CoshNode": np.cosh, "ErfNode": _erf, "ExpNode": np.exp,
    "Expm1Node": np.expm1, "Log10Node": np.log10, "Log1pNode": np.log1p, "Log2Node": np.log2,
    "LogNode": np.log, "ReciprocalNode": lambda x: 1.0 / x, "RsqrtNode": lambda x: 1.0 / np.sqrt(x),
    "SigmoidNode": sigmoid, "SiluNode": lambda x: x * sigmoid(x), "SinNode": np.sin,
    "SinhNode": np.sinh, "SqrtNode": np.sqrt, "TanNode": np.tan, "TanhNode": np.tanh,
}  # fmt: skip
"""Functions that make real numbers of integers too."""

_UNARY: dict[str, Callable[..., Any]] = {
    "AbsNode": np.abs, "BitwiseInvertNode": np.bitwise_not, "CeilNode": np.ceil,
    "FloorNode": np.floor, "LogicalNotNode": np.logical_not, "NegNode": np.negative,
    "SignNode": lambda x: x if x.dtype == bool else np.sign(x), "SquareNode": np.square,
    "TruncNode": np.trunc,
}  # fmt: skip

_BINARY: dict[str, Callable[..., Any]] = {
    "AddNode": np.add, "Atan2Node": _atan2, "BitwiseAndNode": np.bitwise_and,
    "BitwiseOrNode": np.bitwise_or, "BitwiseXorNode": np.bitwise_xor, "DivideNode": _divide,
    "EqualNode": np.equal, "FloorDivideNode": np.floor_divide,
    "GreaterEqualNode": np.greater_equal, "GreaterNode": np.greater,
    "LessEqualNode": np.less_equal, "LessNode": np.less, "LogAddExpNode": np.logaddexp,
    "LogicalAndNode": np.logical_and, "LogicalOrNode": np.logical_or,
    "MaximumNode": np.maximum, "MinimumNode": np.minimum, "MultiplyNode": np.multiply,
    "NotEqualNode": np.not_equal, "PowerNode": _power, "RemainderNode": np.remainder,
    "SubtractNode": np.subtract,
}  # fmt: skip


def _real(function: Callable[..., Any]) -> Op:
    return lambda n, s: np.asarray(function(np.asarray(s.tensor(n.x), np.float64)))


def _unary(function: Callable[..., Any]) -> Op:
    return lambda n, s: np.asarray(function(s.tensor(n.x)))


def _binary(function: Callable[..., Any]) -> Op:
    return lambda n, s: np.asarray(function(s.tensor(n.a), s.tensor(n.b)))


OPS: dict[str, Op] = {
    **{name: _real(function) for name, function in _REAL.items()},
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    # Python's // and % floor, and take the divisor's sign, as upstream's do.
    "AddIntNode": _integer(lambda a, b: a + b),
    "SubtractIntNode": _integer(lambda a, b: a - b),
    "MultiplyIntNode": _integer(lambda a, b: a * b),
    "FloorDivideIntNode": _integer(lambda a, b: a // b),
    "ModIntNode": _integer(lambda a, b: a % b),
    "AllNode": _reduction(np.all),
    "AnyNode": _reduction(np.any),
    "MaxNode": _reduction(np.max),
    "MeanNode": _reduction(np.mean),
    "MedianNode": _reduction(np.median),
    "MinNode": _reduction(np.min),
    "ProdNode": _reduction(np.prod),
    "SumNode": _reduction(np.sum),
    "StdNode": _spread(np.std),
    "VarNode": _spread(np.var),
    "ArgmaxNode": _arg(np.argmax),
    "ArgminNode": _arg(np.argmin),
    "ArgPartitionNode": _argsort,
    "ArgsortNode": _argsort,
    "AsTypeNode": _as_type,
    "ClipNode": _clip,
    "CumsumNode": _cumsum,
    "GeluNode": _gelu,
    "IdCopyNode": lambda n, s: s.tensor(n.x),
    "ItemIntNode": _item,
    "LogSumExpNode": _logsumexp,
    "NoopNode": lambda n, s: None,
    "PartitionNode": lambda n, s: np.sort(s.tensor(n.x), axis=n.axis),
    "RoundNode": _round,
    "SoftmaxNode": lambda n, s: softmax(np.asarray(s.tensor(n.x), np.float64), n.axis),
    "SortNode": lambda n, s: np.sort(s.tensor(n.x), axis=n.axis),
    "SymSizeNode": lambda n, s: int(s.tensor(n.a).shape[n.dim]),
    "WhereNode": lambda n, s: np.where(s.tensor(n.condition), s.tensor(n.x), s.tensor(n.y)),
}
