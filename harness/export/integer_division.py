"""Integer floor division on tensors, exact in integers: what stock leaves to a float32 quotient.

The delegate's FloorDivide divides in float32 and does not round: ``7 // 2`` is 3.5 until some
cast truncates it, so that ``(7 // 2) * 2`` is 7, and beyond 2**24 the quotient itself is off. The
delegate has no integer division, but its Remainder is exact in integers. Without the remainder
the dividend is a multiple of the divisor, so the float quotient rounds to within a relative 2**-23
of the true one, and the same division of what is left brings the rest.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from harness.export.emitting import emit

__all__ = ["divides_integers", "floor_divide", "floors_an_integer", "promoted_floor_divide"]

# Divisions until nothing is left. Each leaves at most 2**-22 of the quotient before, so that one
# does for 16 bits, two for 32, three for 64.
_TURNS = {1: 1, 2: 1, 4: 2, 8: 3}


def divides_integers(node: Any) -> bool:
    """Whether `node` is a floor division whose result is an integer."""
    kept = node.meta["val"].dtype
    floors = node.kwargs.get("rounding_mode", "floor") == "floor"
    return floors and not kept.is_floating_point and kept is not torch.bool


def floors_an_integer(node: Any) -> bool:
    """Whether a floor division is of an integer by a float: stock's quotient is not rounded."""
    dividend = getattr(node.args[0], "meta", {}).get("val")
    whole = isinstance(dividend, torch.Tensor) and not dividend.dtype.is_floating_point
    floors = node.kwargs.get("rounding_mode", "floor") == "floor"
    return whole and floors and bool(node.meta["val"].dtype.is_floating_point)


def promoted_floor_divide(builder: Any, node: Any) -> Any:
    """Floor division of an integer by a float, in the type of the result."""
    from executorch.backends.mlx.builder.op_helpers import (
        emit_lifted_constant,
        torch_dtype_to_scalar_type,
    )

    kept, (x, y) = node.meta["val"].dtype, builder.args(node)[:2]
    x = emit(builder, "AsTypeNode", x=x, scalar_type=torch_dtype_to_scalar_type(kept))
    y = emit_lifted_constant(builder, y, kept) if isinstance(y, int | float) else y
    return emit(builder, "FloorDivideNode", builder.make_or_get_slot(node), a=x, b=y)


def floor_divide(builder: Any, node: Any) -> Any:
    """``aten.floor_divide`` and ``aten.div`` with ``rounding_mode="floor"``, of integers."""
    from executorch.backends.mlx.builder.op_helpers import (
        emit_lifted_constant,
        torch_dtype_to_scalar_type,
    )

    kept = node.meta["val"].dtype

    make = partial(emit, builder)
    cast = partial(make, "AsTypeNode", scalar_type=torch_dtype_to_scalar_type(kept))

    def operand(argument: Any, slot: Any) -> Any:
        if not hasattr(argument, "meta"):  # a number, or a size that the graph computes
            return emit_lifted_constant(builder, slot, kept)
        return slot if argument.meta["val"].dtype == kept else cast(x=slot)

    def quotient(x: Any, out: Any = None) -> Any:
        return cast(out, x=make("RoundNode", x=make("DivideNode", a=x, b=divisor)))

    given = builder.args(node)
    dividend, divisor = map(operand, node.args[:2], given[:2])
    remainder = make("RemainderNode", a=dividend, b=divisor)
    multiple = make("SubtractNode", a=dividend, b=remainder)
    turns = _TURNS[kept.itemsize]
    result = quotient(multiple, builder.make_or_get_slot(node) if turns == 1 else None)
    for turn in range(2, turns + 1):
        product = make("MultiplyNode", a=result, b=divisor)
        left = make("SubtractNode", a=multiple, b=product)
        out = builder.make_or_get_slot(node) if turn == turns else None
        result = make("AddNode", out, a=result, b=quotient(left))
    return result
