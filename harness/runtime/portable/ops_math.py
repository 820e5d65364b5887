"""Element-wise nodes, integer values, reductions, scans along an axis, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import ExecutionError
from harness.pte.payload import Node
from harness.runtime.portable.blas import mx
from harness.runtime.portable.exponentials import MANY, sigmoid, silu
from harness.runtime.portable.ops_shape import axis_of
from harness.runtime.portable.slots import INT32_MAX, INT32_MIN, Slots, warn_oddity
from harness.runtime.portable.tensors import mlx_dtype

__all__ = ["OPS"]

Op = Callable[[Node, Slots], Any]

_FLOATS = (mx.float32, mx.bfloat16, mx.float16)


def _unary(function: Callable[[Any], Any]) -> Op:
    return lambda n, s: function(s.tensor(n.x))


def _binary(function: Callable[[Any, Any], Any]) -> Op:
    return lambda n, s: function(s.tensor(n.a), s.tensor(n.b))


def _gelu(n: Node, s: Slots) -> Any:
    """GELU by tanh or, for any other name, by erf, each step in the input's own type."""
    x = s.tensor(n.x)

    def number(value: float) -> Any:
        return mx.array(value, dtype=x.dtype)

    if n.approximate == "tanh":
        cubic = x + number(0.044715) * (x * (x * x))
        gate = mx.tanh(number(0.7978845608) * cubic)
    else:
        gate = mx.erf(number(0.7071067812) * x)
    return number(0.5) * (x * (number(1.0) + gate))


def _sigmoid(n: Node, s: Slots) -> Any:
    x = s.tensor(n.x)
    return sigmoid(x) if _many(x, s) else mx.sigmoid(x)


def _silu(n: Node, s: Slots) -> Any:
    x = s.tensor(n.x)
    return silu(x) if _many(x, s) else x * mx.sigmoid(x)


def _many(x: Any, s: Slots) -> bool:
    return s.fp32_weights is not None and x.size >= MANY and x.dtype in _FLOATS


def _divisible(a: Any, b: Any) -> None:
    """Refuse an integer over 0, and the least over -1: there MLX's CPU kernel ends the process."""
    if any(mx.issubdtype(x.dtype, mx.inexact) for x in (a, b)) or a.dtype == b.dtype == mx.bool_:
        return
    if mx.any(mx.equal(b, mx.array(0, b.dtype))).item():
        raise ExecutionError("an integer is divided by 0: MLX would end the process, or make any")
    size = max(a.dtype.size, b.dtype.size)
    if size >= 4 and all(mx.issubdtype(x.dtype, mx.signedinteger) for x in (a, b)):
        least = mx.equal(a, mx.array(-(2 ** (8 * size - 1)), mx.int64))
        if mx.any(mx.logical_and(least, mx.equal(b, mx.array(-1, b.dtype)))).item():
            raise ExecutionError("the least integer is divided by -1: MLX would end the process")


def _remainder(n: Node, s: Slots) -> Any:
    a, b = s.tensor(n.a), s.tensor(n.b)
    _divisible(a, b)
    return mx.remainder(a, b)


def _floor_divide(n: Node, s: Slots) -> Any:
    """Floor division; integers go through a float32 quotient, as upstream has it.

    The quotient is not rounded, only shifted where the signs differ: -7 / 2 gives -4.5, which
    becomes -4 when the result is cast back to an integer type.
    """
    a, b = s.tensor(n.a), s.tensor(n.b)
    if mx.issubdtype(a.dtype, mx.inexact):
        return mx.floor_divide(a, b)
    _divisible(a, b)
    zero = mx.array(0, dtype=a.dtype)
    uneven = mx.not_equal(mx.remainder(a, b), zero)
    opposed = mx.not_equal(mx.less(a, zero), mx.less(b, zero))
    shift = mx.logical_and(uneven, opposed).astype(a.dtype)
    return mx.divide(a, b) - shift


def _clip(n: Node, s: Slots) -> Any:
    return mx.clip(s.tensor(n.x), s.optional(n.a_min), s.optional(n.a_max))


def _item(n: Node, s: Slots) -> int:
    """The integer in a one-element tensor, as a value.

    Upstream reads four raw bytes whatever the type, so it returns nonsense for other types and
    the low half of a 64-bit number; that is refused here, unless `faithful`. A type of fewer
    bytes always is: upstream reads beyond it. But truth values are what upstream's exporter
    branches on (``mlx::sample``), and the bytes beyond one are mostly 0.
    """
    x = s.tensor(n.x)
    if x.size != 1:
        raise ExecutionError(f"one element is needed for an integer value, got shape {x.shape}")
    if x.dtype == mx.bool_:
        warn_oddity("an integer is read from a truth value and three bytes beyond, taken for 0")
        return int(x.item())
    whole = (mx.int32, mx.int64, mx.uint32)
    if s.faithful and x.dtype.size >= 4 and x.dtype not in whole:
        warn_oddity(f"the integer value of a {x.dtype} is its first four bytes")
        return _first_bytes(x)
    if x.dtype not in whole:
        raise ExecutionError(
            f"an integer value cannot be read from {x.dtype}: native would read garbage"
        )
    value = int(x.item())
    if INT32_MIN <= value <= INT32_MAX:
        return value
    if not s.faithful:
        raise ExecutionError(f"{value} does not fit 32 bits: native would silently truncate it")
    warn_oddity(f"{value} does not fit 32 bits and becomes {_first_bytes(x)}")
    return _first_bytes(x)


def _first_bytes(x: Any) -> int:
    """The first four bytes of a one-element tensor, as native reads them."""
    return int(np.array(x.reshape(1).view(mx.int32))[0])


def _integer(function: Callable[[int, int], int]) -> Op:
    def op(n: Node, s: Slots) -> int:
        a, b = s.integer(n.a), s.integer(n.b)
        try:
            result = function(a, b)
        except ZeroDivisionError:
            raise ExecutionError(f"{a} is divided by 0") from None
        if not INT32_MIN <= result <= INT32_MAX:
            raise ExecutionError(f"{result}, from {a} and {b}, overflows 32 bits")
        return result

    return op


def _sym_size(n: Node, s: Slots) -> int:
    x = s.tensor(n.a)
    return int(x.shape[axis_of(n.dim, x.ndim)])


def _axes(function: Callable[..., Any], *options: str) -> Op:
    """Over the named axes, or over all if none is named; `options` are fields of the node."""

    def op(n: Node, s: Slots) -> Any:
        given = {name: getattr(n, name) for name in options}
        return function(s.tensor(n.x), axis=list(n.axes) or None, keepdims=n.keepdims, **given)

    return op


def _axis(function: Callable[..., Any], *options: str) -> Op:
    """Along one axis."""

    def op(n: Node, s: Slots) -> Any:
        given = {name: getattr(n, name) for name in options}
        return function(s.tensor(n.x), axis=n.axis, **given)

    return op


def _divide_at(function: Callable[..., Any]) -> Op:
    return lambda n, s: function(s.tensor(n.x), s.integer(n.kth), axis=n.axis)


def _logsumexp(n: Node, s: Slots) -> Any:
    # Unlike the other reductions, no axes means no reduction: upstream passes the empty list on.
    return mx.logsumexp(s.tensor(n.x), axis=list(n.axes), keepdims=n.keepdims)


_UNARY = {
    "AbsNode": mx.abs, "ArccosNode": mx.arccos, "ArccoshNode": mx.arccosh,
    "ArcsinNode": mx.arcsin, "ArcsinhNode": mx.arcsinh, "ArctanNode": mx.arctan,
    "ArctanhNode": mx.arctanh, "BitwiseInvertNode": mx.bitwise_invert, "CeilNode": mx.ceil,
    "CosNode": mx.cos, "CoshNode": mx.cosh, "ErfNode": mx.erf, "ExpNode": mx.exp,
    "Expm1Node": mx.expm1, "FloorNode": mx.floor, "Log10Node": mx.log10, "Log1pNode": mx.log1p,
    "Log2Node": mx.log2, "LogNode": mx.log, "LogicalNotNode": mx.logical_not,
    "NegNode": mx.negative, "ReciprocalNode": mx.reciprocal, "RsqrtNode": mx.rsqrt,
    "SignNode": mx.sign, "SinNode": mx.sin, "SinhNode": mx.sinh,
    "SqrtNode": mx.sqrt, "SquareNode": mx.square, "TanNode": mx.tan, "TanhNode": mx.tanh,
    "TruncNode": mx.trunc,
}  # fmt: skip

_BINARY = {
    "AddNode": mx.add, "Atan2Node": mx.arctan2, "BitwiseAndNode": mx.bitwise_and,
    "BitwiseOrNode": mx.bitwise_or, "BitwiseXorNode": mx.bitwise_xor, "DivideNode": mx.divide,
    "EqualNode": mx.equal, "GreaterEqualNode": mx.greater_equal, "GreaterNode": mx.greater,
    "LessEqualNode": mx.less_equal, "LessNode": mx.less, "LogAddExpNode": mx.logaddexp,
    "LogicalAndNode": mx.logical_and, "LogicalOrNode": mx.logical_or,
    "MaximumNode": mx.maximum, "MinimumNode": mx.minimum, "MultiplyNode": mx.multiply,
    "NotEqualNode": mx.not_equal, "PowerNode": mx.power, "SubtractNode": mx.subtract,
}  # fmt: skip

# Python's // and % already floor, and take the divisor's sign, as upstream's do.
_INTEGER: dict[str, Callable[[int, int], int]] = {
    "AddIntNode": lambda a, b: a + b,
    "SubtractIntNode": lambda a, b: a - b,
    "MultiplyIntNode": lambda a, b: a * b,
    "FloorDivideIntNode": lambda a, b: a // b,
    "ModIntNode": lambda a, b: a % b,
}

_REDUCTIONS = {
    "AllNode": mx.all, "AnyNode": mx.any, "MaxNode": mx.max, "MeanNode": mx.mean,
    "MedianNode": mx.median, "MinNode": mx.min, "ProdNode": mx.prod, "SumNode": mx.sum,
}  # fmt: skip

OPS: dict[str, Op] = {
    **{name: _axes(function) for name, function in _REDUCTIONS.items()},
    "ArgPartitionNode": _divide_at(mx.argpartition),
    "ArgmaxNode": _axis(mx.argmax, "keepdims"),
    "ArgminNode": _axis(mx.argmin, "keepdims"),
    "ArgsortNode": _axis(mx.argsort),
    "CumsumNode": _axis(mx.cumsum, "reverse", "inclusive"),
    "LogSumExpNode": _logsumexp,
    "PartitionNode": _divide_at(mx.partition),
    "SoftmaxNode": _axis(mx.softmax, "precise"),
    "SortNode": _axis(mx.sort),
    "StdNode": _axes(mx.std, "ddof"),
    "VarNode": _axes(mx.var, "ddof"),
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    **{name: _integer(function) for name, function in _INTEGER.items()},
    "NoopNode": lambda n, s: None,
    "IdCopyNode": lambda n, s: s.tensor(n.x),
    "AsTypeNode": lambda n, s: s.tensor(n.x).astype(mlx_dtype(n.scalar_type)),
    "ClipNode": _clip,
    "FloorDivideNode": _floor_divide,
    "GeluNode": _gelu,
    "ItemIntNode": _item,
    "RemainderNode": _remainder,
    "RoundNode": lambda n, s: mx.round(s.tensor(n.x), decimals=n.decimals),
    "SigmoidNode": _sigmoid,
    "SiluNode": _silu,
    "SymSizeNode": _sym_size,
    "WhereNode": lambda n, s: mx.where(s.tensor(n.condition), s.tensor(n.x), s.tensor(n.y)),
}
