"""Squeezing no axis, repeating a flat tensor, ranges by fractions, and tensors filled otherwise."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from harness.export.emitting import emit

__all__ = [
    "by_fractions",
    "filled",
    "fills_otherwise",
    "flattens",
    "no_axis",
    "range_by_fractions",
    "repeat_flat",
    "squeeze",
]  # fmt: skip


def no_axis(node: Any) -> bool:
    """Whether an ``aten.squeeze`` names no axis, which is none, and not every one."""
    return not list(node.args[1])


def squeeze(builder: Any, node: Any) -> Any:
    """``aten.squeeze`` of no axis."""
    return emit(builder, "IdCopyNode", builder.make_or_get_slot(node), x=builder.args(node)[0])


def flattens(node: Any) -> bool:
    """Whether an ``aten.repeat_interleave`` is along no axis."""
    return len(node.args) < 3 or node.args[2] is None


def repeat_flat(builder: Any, node: Any) -> Any:
    """``aten.repeat_interleave`` of all elements in a row."""
    x, repeats, *_ = builder.args(node)
    sizes = list(node.args[0].meta["val"].shape)
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError(f"aten.repeat_interleave: a size is dynamic: {sizes}")
    flat = emit(builder, "ReshapeNode", x=x, shape=[prod(sizes)])
    out = builder.make_or_get_slot(node)
    return emit(builder, "RepeatNode", out, x=flat, repeats=repeats, axis=0)


def by_fractions(node: Any) -> bool:
    """Whether a range's bounds or step are floats: the delegate's range knows whole numbers."""
    known = all(isinstance(value, int | float) for value in node.args)
    return known and any(isinstance(value, float) for value in node.args)


def range_by_fractions(builder: Any, node: Any) -> Any:
    """``aten.arange`` of known numbers as a constant."""
    dtype = node.meta["val"].dtype
    made = torch.arange(*node.args, dtype=dtype)
    told = "_".join(str(value) for value in (*node.args, dtype))
    constant = builder.make_or_get_constant(f"_arange_{told}", made)
    return emit(builder, "ContiguousNode", builder.make_or_get_slot(node), x=constant)


def fills_otherwise(node: Any) -> bool:
    """Whether stock fills with another type, or with a number that float32 does not hold."""
    meta, number = node.meta["val"], _number(node)
    if not isinstance(number, int | float):
        return False
    untyped = "full.default" in str(node.target) and node.kwargs.get("dtype") is None
    rounded = float(torch.tensor(number, dtype=torch.float32)) != number
    whole = not meta.dtype.is_floating_point
    return (untyped and meta.dtype != torch.float32) or (whole and rounded)


def filled(builder: Any, node: Any) -> Any:
    """``aten.full`` and ``aten.full_like``: a number of the right type, broadcast."""
    from executorch.backends.mlx.builder.op_helpers import emit_lifted_constant

    meta = node.meta["val"]
    shape = builder.args(node)[0] if "full.default" in str(node.target) else list(meta.shape)
    if not isinstance(shape, list | tuple) or any(isinstance(n, torch.SymInt) for n in shape):
        raise ValueError(f"{node.target}: a size is dynamic: {shape}")
    number = emit_lifted_constant(builder, _number(node), meta.dtype)
    out = builder.make_or_get_slot(node)
    return emit(builder, "BroadcastToNode", out, x=number, shape=list(shape))


def _number(node: Any) -> Any:
    return node.args[0] if "scalar_tensor" in str(node.target) else node.args[1]
