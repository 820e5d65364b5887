"""Reductions over axes that are not given, over an axis of a number, and by a fraction of one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import torch

from harness.export.emitting import emit
from harness.export.patching import Handler, patched

__all__ = [
    "ALONG_AN_AXIS", "KEEPING", "corrects_by_a_fraction", "is_a_number", "keeps_every_axis",
    "logsumexp", "names_no_axis", "of_one_element", "reshaped", "spread",
]  # fmt: skip

_ATEN = torch.ops.aten

ALONG_AN_AXIS = (
    _ATEN._softmax.default, _ATEN._log_softmax.default, _ATEN.all.dim, _ATEN.any.dim,
    _ATEN.argsort.default, _ATEN.sort.default, _ATEN.cumsum.default, _ATEN.flip.default,
    _ATEN.index_select.default, _ATEN.logsumexp.default, _ATEN.mean.dim, _ATEN.sum.dim_IntList,
    _ATEN.repeat_interleave.self_int, _ATEN.amax.default, _ATEN.amin.default,
)  # fmt: skip
"""Operators along an axis, which torch lets a number have, and MLX does not."""

KEEPING = (_ATEN.argmax.default, _ATEN.argmin.default, _ATEN.mean.dim, _ATEN.sum.dim_IntList)
"""Reductions that may be over every axis and keep each."""


def is_a_number(node: Any) -> bool:
    """Whether the first tensor has no axis."""
    return bool(node.args[0].meta["val"].dim() == 0)


def of_one_element(stock: Handler) -> Handler:
    """Stock's handler of a tensor of one element, in the place of a number."""

    def handler(builder: Any, node: Any) -> Any:
        given = type(builder).args
        line = emit(builder, "ReshapeNode", x=given(builder, node)[0], shape=[1])

        def args(self: Any, other: Any) -> Any:
            found = given(self, other)
            return (line, *found[1:]) if other is node else found

        with patched(type(builder), "args", args):
            stock(builder, node)
        return _reshape(builder, node)

    return handler


def keeps_every_axis(node: Any) -> bool:
    """Whether a reduction over all axes, none of which is named, keeps them."""
    return names_no_axis(node) and len(node.args) > 2 and bool(node.args[2])


def names_no_axis(node: Any) -> bool:
    """Whether a reduction names no axis, and so is over all."""
    dims = node.args[1] if len(node.args) > 1 else None
    return dims is None or (isinstance(dims, list | tuple) and not dims)


def logsumexp(builder: Any, node: Any) -> Any:
    """``aten.logsumexp`` over every axis, which MLX wants named."""
    x, out = builder.args(node)[0], builder.make_or_get_slot(node)
    axes = list(range(node.args[0].meta["val"].dim()))
    keeps = len(node.args) > 2 and bool(node.args[2])
    return emit(builder, "LogSumExpNode", out, x=x, axes=axes, keepdims=keeps)


def reshaped(stock: Handler) -> Handler:
    """Stock's handler, and the axes put back behind it."""

    def handler(builder: Any, node: Any) -> Any:
        stock(builder, node)
        return _reshape(builder, node)

    return handler


def _reshape(builder: Any, node: Any) -> Any:
    """Every result of a node in the shape that torch gives it."""
    from executorch.backends.mlx.ops import used_getitem_indices

    slots, values = builder.make_or_get_slots(node), node.meta["val"]
    values = values if isinstance(values, tuple | list) else (values,)
    written = used_getitem_indices(node) if len(slots) > 1 else {0}
    for number, (slot, value) in enumerate(zip(slots, values, strict=True)):
        shape = list(value.shape)
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(f"{node.target}: a size is dynamic: {shape}")
        if number in written:
            emit(builder, "ReshapeNode", slot, x=slot, shape=shape)
    return slots if len(slots) > 1 else slots[0]


def corrects_by_a_fraction(node: Any) -> bool:
    """Whether a variance divides by the count less what is no whole number."""
    correction = node.kwargs.get("correction")
    return correction is not None and float(correction) != int(correction)


def spread(kind: str) -> Callable[[Any, Any], Any]:
    """``aten.var`` or ``aten.std`` of a fractional correction: MLX's with none, scaled."""

    def handler(builder: Any, node: Any) -> Any:
        from executorch.backends.mlx.builder.op_helpers import (
            emit_lifted_constant,
            torch_dtype_to_scalar_type,
        )

        x, meta = builder.args(node)[0], node.args[0].meta["val"]
        dims = node.args[1] if len(node.args) > 1 else None
        axes = [dim % meta.dim() for dim in dims or range(meta.dim())]
        sizes = [meta.shape[axis] for axis in axes]
        if not all(isinstance(size, int) for size in sizes):
            raise ValueError(f"{node.target}: a size is dynamic: {sizes}")
        count = prod(sizes)
        left = max(count - float(node.kwargs["correction"]), 0.0)
        factor = count / left if left else float("inf")
        wide = torch_dtype_to_scalar_type(torch.float32)
        given = {"axes": axes, "keepdims": bool(node.kwargs.get("keepdim", False)), "ddof": 0}
        x = emit(builder, "AsTypeNode", x=x, scalar_type=wide)
        spread = emit(builder, f"{kind}Node", x=x, **given)
        scale = emit_lifted_constant(
            builder, sqrt(factor) if kind == "Std" else factor, torch.float32
        )
        scaled = emit(builder, "MultiplyNode", a=spread, b=scale)
        own = torch_dtype_to_scalar_type(node.meta["val"].dtype)
        return emit(
            builder, "AsTypeNode", builder.make_or_get_slot(node), x=scaled, scalar_type=own
        )

    return handler
