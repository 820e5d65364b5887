"""Products as a GPU of another regime would form them, to see what a program would do there.

Every instruction but the products is left as it is, with MLX's own kernels.

tf32
    Float32 operands are rounded to TF32's 11 bits where MLX would use matrix units: products with
    one row or column, and attention of up to 8 queries, have other kernels.
bf16-accumulate
    The sum is rounded to bfloat16 after every 32 terms.
fp16-grid
    Operands are rounded to float16, with its overflow and its small numbers.

References
----------
MLX 0.32.2, ``backend/metal/matmul.cpp`` (`use_nax`; ``gemv`` for one row) and
``scaled_dot_product_attention.cpp`` (`supports_sdpa_vector`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.errors import UnsupportedError
from harness.pte.payload import Node
from harness.runtime.portable.attention import added
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import OPS, Op
from harness.runtime.portable.ops_linear import packing
from harness.runtime.portable.slots import Slots

__all__ = ["emulated"]

_BLOCK = 32
"""Terms that are added up before the sum is rounded to bfloat16."""

_VECTOR_QUERIES = 8
"""Queries up to which MLX attends without matrix units."""

_CONVOLUTIONS = tuple(f"Conv{kind}{rank}DNode" for kind in ("", "Transpose") for rank in (1, 2, 3))

_NOT_EMULATED = ("GatherMmNode", "GatherQmmNode", "UpdateAndAttendNode")


def emulated(regime: str) -> dict[str, Op]:
    """The functions of all nodes that multiply, in `regime`, one of `harness.budget.EMULATED`."""
    arithmetic = _ARITHMETIC[regime]
    functions = {
        "AddmmNode": _addmm,
        "QuantizedMatmulNode": _quantized_matmul,
        "SdpaNode": _sdpa,
        **dict.fromkeys(_CONVOLUTIONS, _convolution),
    }
    return {
        **{name: partial(made, arithmetic, OPS[name]) for name, made in functions.items()},
        **dict.fromkeys(_NOT_EMULATED, partial(_refuse, regime)),
    }


@dataclass(frozen=True)
class _Arithmetic:
    """What becomes of a product's operands, and of its sum."""

    operand: Callable[[Any], Any] = lambda x: x
    block: int | None = None  # terms after which the sum is rounded to bfloat16; None: never
    matrix_units: bool = False  # only products of matrices are formed like this

    def product(self, a: Any, b: Any) -> Any:
        """The matrix product of float32 arrays, in float32."""
        rows = a.size // a.shape[-1] if b.ndim == 2 else a.shape[-2]
        if self.matrix_units and min(rows, b.shape[-1]) == 1:
            return a @ b
        a, b = self.operand(a), self.operand(b)
        parts = (
            a[..., start : start + self.block] @ b[..., start : start + self.block, :]
            for start in range(0, a.shape[-1], self.block)
        ) if self.block else (a @ b,)  # fmt: skip
        return self.total(parts)

    def total(self, parts: Any) -> Any:
        """The sum of what blocks of terms come to."""
        first, *others = parts
        if self.block is None:
            return first
        made = _to_bf16(first)
        for part in others:
            made = _to_bf16(made + part)
        return made


def _to_tf32(x: Any) -> Any:
    """Round float32 to 11 bits, to nearest, ties to even."""
    bits = x.view(mx.uint32)
    odd = mx.bitwise_and(mx.right_shift(bits, mx.array(13, mx.uint32)), mx.array(1, mx.uint32))
    up = bits + odd + mx.array(0xFFF, mx.uint32)
    rounded = mx.bitwise_and(up, mx.array(0xFFFFE000, mx.uint32)).view(mx.float32)
    return mx.where(mx.isfinite(x), rounded, x)


def _to_bf16(x: Any) -> Any:
    return x.astype(mx.bfloat16).astype(mx.float32)


def _to_fp16(x: Any) -> Any:
    return x.astype(mx.float16).astype(mx.float32)


_ARITHMETIC: Mapping[str, _Arithmetic] = {
    "tf32": _Arithmetic(_to_tf32, matrix_units=True),
    "bf16-accumulate": _Arithmetic(block=_BLOCK),
    "fp16-grid": _Arithmetic(_to_fp16),
}


def _addmm(arithmetic: _Arithmetic, op: Op, n: Node, s: Slots) -> Any:
    a, b, bias = s.tensor(n.mat1), s.tensor(n.mat2), s.optional(n.bias)
    if a.ndim < 2 or b.ndim < 2 or a.dtype != b.dtype or not mx.issubdtype(a.dtype, mx.floating):
        return op(n, s)
    made = arithmetic.product(a.astype(mx.float32), b.astype(mx.float32))
    if bias is not None:
        made = made * n.alpha + bias.astype(mx.float32) * n.beta
    return made.astype(a.dtype)


def _quantized_matmul(arithmetic: _Arithmetic, op: Op, n: Node, s: Slots) -> Any:
    """Multiply by weights that are unpacked in float32."""
    if n.mode != "affine":
        raise UnsupportedError(f"products of weights packed as {n.mode} are not emulated")
    x, scales, biases = (t.astype(mx.float32) for t in map(s.tensor, (n.x, n.scales, n.biases)))
    weight = mx.dequantize(s.tensor(n.w), scales, biases, **packing(n))
    weight = mx.swapaxes(weight, -1, -2) if n.transpose else weight
    return arithmetic.product(x, weight).astype(s.tensor(n.x).dtype)


def _convolution(arithmetic: _Arithmetic, op: Op, n: Node, s: Slots) -> Any:
    """A convolution; its terms are blocks of channels, each with all taps."""
    x, w = s.tensor(n.x), s.tensor(n.w)
    wide = [arithmetic.operand(t.astype(mx.float32)) for t in (x, w)]
    block = arithmetic.block if n.groups == 1 and arithmetic.block else w.shape[-1]

    def part(start: int) -> Any:
        if block >= w.shape[-1]:
            return op(n, _holding(s, n, wide))
        return op(n, _holding(s, n, [t[..., start : start + block] for t in wide]))

    return arithmetic.total(map(part, range(0, w.shape[-1], block))).astype(x.dtype)


def _holding(s: Slots, n: Node, operands: list[Any]) -> Slots:
    """The same slots with other operands in the place of x and w."""
    tensors = list(s.tensors)
    tensors[n.x.idx], tensors[n.w.idx] = operands
    return dataclasses.replace(s, tensors=tensors)


def _sdpa(arithmetic: _Arithmetic, op: Op, n: Node, s: Slots) -> Any:
    q, k, v = s.tensor(n.q), s.tensor(n.k), s.tensor(n.v)
    mask = "causal" if n.causal else s.optional(n.mask)
    vector = arithmetic.matrix_units and q.shape[-2] <= _VECTOR_QUERIES
    both = n.causal and n.mask is not None
    if vector or both or q.ndim != 4 or k.ndim != 4 or q.shape[1] % k.shape[1]:
        return op(n, s)
    heads, dtype = q.shape[1], q.dtype
    q, k, v = (t.astype(mx.float32) for t in (q, k, v))
    k, v = (mx.repeat(t, heads // t.shape[1], axis=1) for t in (k, v))
    scores = arithmetic.product(q * n.scale, mx.swapaxes(k, -1, -2))
    if mask is not None:
        scores = scores + added(mask, q.shape[2], k.shape[2])
    weights = mx.softmax(scores, axis=-1, precise=True)
    return arithmetic.product(weights, v).astype(dtype)


def _refuse(regime: str, n: Node, s: Slots) -> Any:
    raise UnsupportedError(f"{type(n).__name__} is not emulated in {regime}; leave --regime out")
