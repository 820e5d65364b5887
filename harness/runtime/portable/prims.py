"""ExecuTorch's own small operators: arithmetic on numbers, sizes, views, loops.

They are what the emitter writes for symbolic shapes and control flow; upstream's are in
kernels/prim_ops. Numbers are 64-bit; what would overflow or divide by zero there is refused here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import ExecutionError

__all__ = ["NUMBERS", "view_shape"]


def _floordiv(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if b == 0:
        return math.copysign(math.inf, -1.0 if math.copysign(1.0, a) < 0 else 1.0)
    return a // b


def _truncating_mod(a: int, b: int) -> int:
    """C++'s %, which takes the sign of the dividend."""
    if not (isinstance(a, int) and isinstance(b, int)):
        raise ExecutionError(f"a remainder needs whole numbers (got {a}, {b})")
    return a - b * int(_truncating_div(a, b))


def _truncating_div(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _item(tensor: Any) -> Any:
    if tensor.size < 1:
        raise ExecutionError("a number is read from an empty tensor")
    return tensor.reshape(-1)[0].item()


def _size(tensor: Any, axis: int) -> int:
    if not 0 <= axis < tensor.ndim:
        raise ExecutionError(f"axis {axis} is out of range for {tensor.ndim} dimensions")
    return int(tensor.shape[axis])


def _within(function: Callable[..., Any]) -> Callable[..., Any]:
    def bounded(*given: Any) -> Any:
        if any(not isinstance(item, (bool, int, float, np.ndarray)) for item in given):
            kinds = ", ".join(type(item).__name__ for item in given)
            raise ExecutionError(f"numbers are expected (got {kinds})")
        made = function(*given)
        if isinstance(made, int) and not -(2**63) <= made < 2**63:
            raise ExecutionError(f"{made} does not fit 64 bits")
        return made

    return bounded


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "aten::sym_size.int": _size,
    "aten::_local_scalar_dense": _item,
    "aten::sym_numel": lambda tensor: int(tensor.size),
    "executorch_prim::sym_max.Scalar": max,
    "executorch_prim::sym_min.Scalar": min,
    "executorch_prim::add.Scalar": operator.add,
    "executorch_prim::sub.Scalar": operator.sub,
    "executorch_prim::mul.Scalar": operator.mul,
    "executorch_prim::floordiv.Scalar": _floordiv,
    "executorch_prim::floordiv.int": _truncating_div,
    "executorch_prim::truediv.Scalar": operator.truediv,
    "executorch_prim::mod.Scalar": _truncating_mod,
    "executorch_prim::mod.int": _truncating_mod,
    "executorch_prim::sym_float.Scalar": float,
    "executorch_prim::sym_int.Scalar": int,
    "executorch_prim::eq.Scalar": operator.eq,
    "executorch_prim::gt.Scalar": operator.gt,
    "executorch_prim::lt.Scalar": operator.lt,
    "executorch_prim::ge.Scalar": operator.ge,
    "executorch_prim::le.Scalar": operator.le,
    "executorch_prim::neg.Scalar": operator.neg,
    "executorch_prim::sym_not.Scalar": operator.not_,
    "executorch_prim::sym_ite.Scalar": lambda condition, a, b: a if condition else b,
    "executorch_prim::ceil.Scalar": math.ceil,
    "executorch_prim::round.Scalar": round,
    "executorch_prim::trunc.Scalar": math.trunc,
}

NUMBERS = {name: _within(function) for name, function in _FUNCTIONS.items()}
"""Operator → what it makes of all its arguments but the last, which names the value it writes."""


def view_shape(size: int, wanted: list[int]) -> tuple[int, ...]:
    """`wanted` with its -1, if any, worked out for a tensor of `size` elements."""
    known = math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1 or (-1 in wanted and known == 0):
        raise ExecutionError(f"{wanted} is no shape")
    shape = tuple(size // known if n == -1 else n for n in wanted)
    if math.prod(shape) != size:
        raise ExecutionError(f"{size} elements cannot be seen as {list(shape)}")
    return shape
