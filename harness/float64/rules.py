"""How far what a node made may lie from what it means, given the inputs that it had.

An element may differ from its float64 value by half a unit in the last place of its type, for it
was rounded once, and by c · u · M: M is the sum of the magnitudes of what was added up, u the
unit roundoff of the arithmetic between, and c depends on the kind of node. What only moves values
must not change a bit. The bounds of sums are those of a random walk over K terms, not the worst
case K · u (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import frexp, prod
from typing import Any

import numpy as np

from harness.arrays import BFLOAT16, Array, dtype_of
from harness.budget.regimes import unit_roundoff
from harness.fingerprint import Regime
from harness.float64.linear import attention, heads_repeated
from harness.float64.semantics import OPS
from harness.float64.slots import Slots
from harness.pte.payload import Node

__all__ = ["Kind", "kind_of", "roundoff", "slack", "spacing"]


class Kind(StrEnum):
    """How a node computes, which decides how far off it may be."""

    EXACT = "exact"
    """It moves, chooses or counts: not a bit may differ."""

    ROUNDED = "rounded"
    """One operation that is rounded correctly."""

    PRODUCT = "product"
    """Sums of products, added up in float32."""

    SUM = "sum"
    """Sums that may be added up in the type of the result."""

    FUNCTION = "function"
    """Several steps, each of which may be rounded to the type of the result."""


_ROUNDED = {
    "AddNode", "SubtractNode", "MultiplyNode", "DivideNode", "AsTypeNode", "FullNode",
    "FullLikeNode", "SquareNode", "SqrtNode", "ReciprocalNode", "ScatterAddNode",
}  # fmt: skip
_PRODUCT = {
    "AddmmNode", "QuantizedMatmulNode", "GatherMmNode", "GatherQmmNode", "Conv1DNode",
    "Conv2DNode", "Conv3DNode", "ConvTranspose1DNode", "ConvTranspose2DNode",
    "ConvTranspose3DNode",
}  # fmt: skip
_SUM = {"SumNode", "MeanNode", "CumsumNode"}
_FUNCTION = {
    "ArccosNode", "ArccoshNode", "ArcsinNode", "ArcsinhNode", "ArctanNode", "ArctanhNode",
    "Atan2Node", "CosNode", "CoshNode", "DequantizeNode", "ErfNode", "ExpNode", "Expm1Node",
    "GeluNode", "LayerNormNode", "Log10Node", "Log1pNode", "Log2Node", "LogAddExpNode",
    "LogNode", "LogSumExpNode", "PowerNode", "ProdNode", "RMSNormNode", "RemainderNode",
    "RopeNode", "RsqrtNode", "SdpaNode", "SigmoidNode", "SiluNode", "SinNode", "SinhNode",
    "SoftmaxNode", "StdNode", "TanNode", "TanhNode", "VarNode", "FloorDivideNode", "RoundNode",
    "MedianNode",
}  # fmt: skip

_REDUCING = {"LayerNormNode", "RMSNormNode", "SoftmaxNode", "LogSumExpNode"}
"""Functions that add up a row in float32 first."""

# Type → bits of its fraction, and the exponent of its least normal number.
_FORMS = {
    np.dtype(np.float64): (52, -1022),
    np.dtype(np.float32): (23, -126),
    np.dtype(np.float16): (10, -14),
    BFLOAT16: (7, -126),
}

_TIES = 1 + 2.0**-14
"""A result computed in float32 and then rounded to 16 bits was rounded twice."""

_FLOAT32_FUNCTION, _NARROW_FUNCTION = 10.0, 3.0
"""c of `Kind.FUNCTION`: most seen 8.3 in float32, 2.01 in bfloat16."""


_SCALED = 0.3
"""Of a score in 16 bits: q times a scale that is no power of two is rounded before the product.

That is 0.9 unit roundoffs, with c. Each product is off by 0.42 on average, and so is their sum.
Without it right kernels came to 8.3 of the bound with heads of 128 (2, 4 and 64 keys, 1 to 16 times
normal q and k), with 0.2 to 0.82, with 0.3 to 0.60; heads of 64, which are scaled exactly, to 0.44.
"""

_LARGEST_EXPONENT = 700.0
"""Of which the exponential is finite in float64."""

_ERF = 16 * 2.0**-24
"""MLX approximates erf to so much of 1, not of the result; most seen 7.2 · 2⁻²⁴."""


def kind_of(node: Node) -> Kind:
    """How a node computes."""
    name = type(node).__name__
    for names, kind in (
        (_ROUNDED, Kind.ROUNDED),
        (_PRODUCT, Kind.PRODUCT),
        (_SUM, Kind.SUM),
        (_FUNCTION, Kind.FUNCTION),
    ):
        if name in names:
            return kind
    return Kind.EXACT


def spacing(reference: Array, dtype: np.dtype[Any]) -> Array:
    """Units in the last place of `dtype` at the values of a float64 array."""
    bits, least = _FORMS[dtype]
    _, exponent = np.frexp(reference)
    return np.ldexp(1.0, np.maximum(exponent - 1, least) - bits)


def roundoff(dtype: str) -> float:
    """Unit roundoff of the type of that name: 2⁻⁸ for bfloat16."""
    return 2.0 ** -(_FORMS[dtype_of(dtype)][0] + 1)


def slack(
    node: Node, slots: Slots, reference: Array, dtype: np.dtype[Any], regime: Regime | None = None
) -> Array | float:
    """How far each element of a floating-point result may lie from `reference`.

    Parameters
    ----------
    node, slots
        What computed, on what.
    reference
        What it means, float64.
    dtype
        The type of what was made.
    regime
        How exactly the executor multiplies; None: in float32.
    """
    name, kind, unit = type(node).__name__, kind_of(node), roundoff(dtype.name)
    least = 2.0 ** _FORMS[dtype][1]  # what is below may be flushed to zero
    if kind is Kind.EXACT:
        return 0.0
    half = np.where(np.isfinite(reference), 0.5 * _TIES * spacing(reference, dtype), 0.0)
    if kind is Kind.ROUNDED:
        terms = 4 * unit if name == "ScatterAddNode" else 0.0
        return half + least + terms * np.abs(np.where(half > 0, reference, 0.0))
    if kind is Kind.FUNCTION:
        narrow = dtype != np.dtype(np.float32)
        c = _NARROW_FUNCTION if narrow else _FLOAT32_FUNCTION
        if not narrow and name in _REDUCING:
            c += 0.5 * np.sqrt(slots.tensor(node.x).shape[-1])
        if name == "SdpaNode":
            unit = unit_roundoff("attention", dtype.name, regime)
            products = _products_share(node.scale, narrow)
            magnitude = _sdpa(node, slots, products, c * unit)
        else:
            magnitude = _function_magnitude(node, slots, reference)
        bound = c * unit * magnitude
        if name == "RopeNode":
            bound += _FLOAT32_FUNCTION * _angle_error(node, slots)
        elif name == "SoftmaxNode" and not narrow:  # in 16 bits the element's own rounding decides
            bound = bound + c * unit * _softmax_sum(node, slots, np.abs(reference))
        elif name == "ErfNode":
            bound = bound + _ERF
    else:
        terms = _terms(node, slots)
        if kind is Kind.PRODUCT:
            unit = unit_roundoff(_product(name), dtype.name, regime)
        growth = 0.5 * np.sqrt(terms)
        if kind is Kind.SUM:  # of terms that may be alike: then their roundings are, too
            alike = terms / 4 if dtype == np.dtype(np.float32) else 0.0
            growth = max(2 * growth, alike)
        bound = (3 + growth) * unit * _sum_magnitude(node, slots)
    return half + least + np.where(np.isfinite(bound), bound, 0.0)


def _product(name: str) -> str:
    """Which kind of product a node of that type forms, as `harness.budget.regimes` has them."""
    if "Conv" in name:
        return "convolution"
    return "quantised" if name in ("QuantizedMatmulNode", "GatherQmmNode") else "matrix"


def _terms(node: Node, slots: Slots) -> int:
    """How many terms each element of a sum has."""
    name = type(node).__name__
    if name == "AddmmNode":
        return int(slots.tensor(node.mat1).shape[-1])
    if name in ("QuantizedMatmulNode", "GatherQmmNode"):
        return int(slots.tensor(node.x).shape[-1])
    if name == "GatherMmNode":
        return int(slots.tensor(node.a).shape[-1])
    if hasattr(node, "w"):
        return prod(slots.tensor(node.w).shape[1:])
    x = slots.tensor(node.x)
    if name == "CumsumNode":
        return int(x.shape[node.axis])
    return prod(x.shape[axis] for axis in (node.axes or range(x.ndim)))


def _sum_magnitude(node: Node, slots: Slots) -> Array:
    made: Array = OPS[type(node).__name__](node, slots.magnitudes())
    return made


def _function_magnitude(node: Node, slots: Slots, reference: Array) -> Array:
    special = _MAGNITUDES.get(type(node).__name__)
    finite = np.where(np.isfinite(reference), np.abs(reference), 0.0)
    return finite if special is None else special(node, slots, finite)


def _silu(n: Node, s: Slots, made: Array) -> Array:
    return made * (1 + np.abs(s.tensor(n.x)))


def _softmax(n: Node, s: Slots, made: Array) -> Array:
    x = np.asarray(s.tensor(n.x), np.float64)
    depth = x.max(n.axis, keepdims=True) - x
    return made * (1 + np.where(np.isfinite(depth), depth, 0.0))


def _softmax_sum(n: Node, s: Slots, made: Array) -> Array:
    """What the sum that each element is divided by is off by, times the element."""
    depth = _softmax(n, s, made) - made
    return made * depth.sum(n.axis, keepdims=True)


def _rope(n: Node, s: Slots, made: Array) -> Array:
    """Both terms of each rotation: together they are at most the sum of a pair's magnitudes."""
    pair = np.abs(s.tensor(n.x))
    head = pair[..., : n.dims]
    if n.traditional:
        head[..., 0::2] = head[..., 1::2] = head[..., 0::2] + head[..., 1::2]
    else:
        half = n.dims // 2
        head[..., :half] = head[..., half:] = head[..., :half] + head[..., half:]
    return pair


def _angle_error(n: Node, s: Slots) -> Array:
    """What an angle is off by that float32 holds, times what it turns."""
    offset = np.abs(np.asarray(s.at(n.offset), np.float64)).max()
    steps = (offset + np.arange(s.tensor(n.x).shape[-2])) * abs(n.scale)
    return _rope(n, s, steps) * steps[:, None] * 2.0**-24


def _products_share(scale: float, narrow: bool) -> float:
    """What a score is off by for its products, in c unit roundoffs of their root sum of squares."""
    if not narrow:
        return 1.0
    exactly_scaled = abs(frexp(scale)[0]) == 0.5  # by a power of two; sums are added up in float32
    return 0.0 if exactly_scaled else _SCALED


def _sdpa(n: Node, s: Slots, products: float, unit: float) -> Array:
    """The output, and what an error in each score does to it, in units of `unit`.

    A score is off by `unit` of its own size and, times `products`, of the root of the sum of its
    squared products: they or their partial sums are rounded, and may be much larger than the score,
    in which they cancel. A weight grows by the exponential of that, and is at most 1; linearly,
    right kernels with scores of hundreds came to 1.36 of the bound in bfloat16.
    """
    scores, weights, v = attention(n, s)
    size = np.where(np.isfinite(scores), np.abs(scores), 0.0)
    if products:
        q, k, _ = heads_repeated(n, s)
        squares = np.matmul((q * n.scale) ** 2, k.swapaxes(-1, -2) ** 2)
        size = size + products * np.sqrt(squares)
    growth = np.expm1(np.minimum(unit * size, _LARGEST_EXPONENT))
    v, error = np.abs(v), np.minimum(weights * growth, 1.0) / unit
    return np.matmul(weights + error, v) + error.sum(-1, keepdims=True) * np.matmul(weights, v)


def _layer_norm(n: Node, s: Slots, made: Array) -> Array:
    """Centring cancels: the magnitude is that of what is added up, over the deviation."""
    x, weight, bias = s.tensor(n.x), s.optional(n.weight), s.optional(n.bias)
    deviation = np.sqrt(x.var(-1, keepdims=True) + n.eps)
    size = (np.abs(x) + np.abs(x).mean(-1, keepdims=True)) / deviation
    size = size if weight is None else size * np.abs(weight)
    return size if bias is None else size + np.abs(bias)


def _dequantize(n: Node, s: Slots, made: Array) -> Array:
    """Scale · value + bias, of which the two terms may cancel."""
    scales, biases = np.abs(s.tensor(n.scales)), s.optional(n.biases)
    size = scales * (2**n.bits - 1) + (0.0 if biases is None else np.abs(biases))
    return np.repeat(size, n.group_size, -1).reshape(made.shape)


def _spread(n: Node, s: Slots, made: Array) -> Array:
    """A variance: the mean is subtracted from each term first."""
    x = s.tensor(n.x)
    axes = tuple(n.axes) or None
    return made + np.sqrt(np.mean(x * x, axis=axes, keepdims=n.keepdims)) * (1 + np.sqrt(made))


def _by_input(function: Callable[[Array], Array]) -> Callable[[Node, Slots, Array], Array]:
    """|f| and the effect of an input that is off by its own roundoff: |x · f'(x)|."""
    return lambda n, s, made: made + np.abs(function(np.asarray(s.tensor(n.x), np.float64)))


_MAGNITUDES: dict[str, Callable[[Node, Slots, Array], Array]] = {
    "DequantizeNode": _dequantize,
    "LayerNormNode": _layer_norm,
    "RopeNode": _rope,
    "SiluNode": _silu,
    "SoftmaxNode": _softmax,
    "StdNode": _spread,
    "VarNode": _spread,
    "CosNode": _by_input(lambda x: x * np.sin(x)),
    "ErfNode": _by_input(lambda x: 1.2 * x * np.exp(-x * x)),
    "SinNode": _by_input(lambda x: x * np.cos(x)),
    "TanNode": _by_input(lambda x: x / np.cos(x) ** 2),
    "ExpNode": _by_input(lambda x: x * np.exp(x)),
    "Expm1Node": _by_input(lambda x: x * np.exp(x)),
    "GeluNode": _by_input(lambda x: x),
    "LogNode": _by_input(np.ones_like),
    "Log2Node": _by_input(np.ones_like),
    "Log10Node": _by_input(np.ones_like),
    "LogSumExpNode": lambda n, s, made: made + 1,
    "LogAddExpNode": lambda n, s, made: made + 1,
    "SigmoidNode": _by_input(lambda x: x * np.exp(-np.abs(x))),
    "PowerNode": lambda n, s, made: made * (1 + np.abs(s.tensor(n.b))) * (
        1 + np.abs(np.log(np.maximum(np.abs(s.tensor(n.a)), 1e-300)))
    ),
    "RemainderNode": lambda n, s, made: made + np.abs(s.tensor(n.a)),
}  # fmt: skip
