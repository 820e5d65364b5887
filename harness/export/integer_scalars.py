"""Integers beside a scalar that is none: stock casts the scalar to an integer, ``i < 2.5`` to 2."""

from __future__ import annotations

from typing import Any

import torch

from harness.export.emitting import emit

__all__ = ["NODES", "clamp", "mixes", "with_scalar"]

_ATEN = torch.ops.aten

NODES = {
    _ATEN.lt.Scalar: "LessNode",
    _ATEN.le.Scalar: "LessEqualNode",
    _ATEN.gt.Scalar: "GreaterNode",
    _ATEN.ge.Scalar: "GreaterEqualNode",
    _ATEN.eq.Scalar: "EqualNode",
    _ATEN.ne.Scalar: "NotEqualNode",
    _ATEN.pow.Tensor_Scalar: "PowerNode",
    _ATEN.remainder.Scalar: "RemainderNode",
    _ATEN.mul.Scalar: "MultiplyNode",
    _ATEN.div.Scalar: "DivideNode",
}
"""Operators of a tensor and a scalar, and the node of each."""


def mixes(node: Any) -> bool:
    """Whether an operator has an integer tensor and a scalar that is a float."""
    x = node.args[0].meta["val"]
    scalars = any(isinstance(value, float) for value in node.args[1:])
    return scalars and not x.dtype.is_floating_point and not x.dtype.is_complex


def with_scalar(builder: Any, node: Any) -> Any:
    """An operator of `NODES` in torch's common type of both."""
    from executorch.backends.mlx.builder.op_helpers import (
        emit_lifted_constant,
        get_aten_target_normalized,
    )

    common = _common(node)
    kind = NODES[get_aten_target_normalized(node.target)]
    scalar = emit_lifted_constant(builder, float(node.args[1]), common)
    x = _cast(builder, node, common)
    return emit(builder, kind, builder.make_or_get_slot(node), a=x, b=scalar)


def clamp(builder: Any, node: Any) -> Any:
    """``aten.clamp`` with scalar bounds, in torch's common type of all."""
    from executorch.backends.mlx.builder.op_helpers import emit_lifted_constant

    common = _common(node)
    bounds = dict(zip(("a_min", "a_max"), node.args[1:], strict=False))
    lifted = {
        name: emit_lifted_constant(builder, float(value), common)
        for name, value in bounds.items()
        if value is not None
    }
    x = _cast(builder, node, common)
    return emit(builder, "ClipNode", builder.make_or_get_slot(node), x=x, **lifted)


def _common(node: Any) -> torch.dtype:
    return torch.result_type(torch.empty(1, dtype=node.args[0].meta["val"].dtype), 0.5)


def _cast(builder: Any, node: Any, dtype: torch.dtype) -> Any:
    from executorch.backends.mlx.builder.op_helpers import torch_dtype_to_scalar_type

    kind = torch_dtype_to_scalar_type(dtype)
    return emit(builder, "AsTypeNode", x=builder.args(node)[0], scalar_type=kind)
