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
    if b == 0 and not (isinstance(a, int) and isinstance(b, int)):
        return math.copysign(math.inf, a)
    return a // b


def _truncating_mod(a: int, b: int) -> int:
    """C++'s %, which takes the sign of the dividend."""
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


_Function = Callable[..., Any]

_ONE: dict[str, _Function] = {
    "sym_float": float, "sym_int": int, "neg": operator.neg, "sym_not": operator.not_,
    "ceil": math.ceil, "round": round, "trunc": math.trunc,
}  # fmt: skip
_TWO: dict[str, _Function] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "truediv": operator.truediv, "floordiv": _floordiv, "sym_max": max, "sym_min": min,
    "eq": operator.eq, "gt": operator.gt, "lt": operator.lt, "ge": operator.ge, "le": operator.le,
}  # fmt: skip
_FUNCTIONS: dict[str, tuple[str, _Function]] = {
    "aten::sym_size.int": ("ti", _size),
    "aten::_local_scalar_dense": ("t", _item),
    "aten::sym_numel": ("t", lambda tensor: int(tensor.size)),
    "executorch_prim::floordiv.int": ("ii", _truncating_div),
    "executorch_prim::mod.int": ("ii", _truncating_mod),
    "executorch_prim::mod.Scalar": ("ii", _truncating_mod),
    "executorch_prim::sym_ite.Scalar": ("nnn", lambda chosen, a, b: a if chosen else b),
    **{f"executorch_prim::{name}.Scalar": ("n", function) for name, function in _ONE.items()},
    **{f"executorch_prim::{name}.Scalar": ("nn", function) for name, function in _TWO.items()},
}
"""Operator → the kinds of its arguments (tensor, number, integer), and what it makes of them."""

_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "t": ("a tensor", (np.ndarray,)),
    "n": ("a number", (int, float)),
    "i": ("a whole number", (int,)),
}


def _checked(kinds: str, function: _Function) -> _Function:
    def run(*given: Any) -> Any:
        if len(given) != len(kinds):
            raise ExecutionError(f"it takes {len(kinds)} arguments (got {len(given)})")
        for kind, item in zip(kinds, given, strict=True):
            what, types = _KINDS[kind]
            if not isinstance(item, types):
                raise ExecutionError(f"{what} is expected (got {type(item).__name__})")
        try:
            made = function(*given)
        except (ArithmeticError, ValueError) as error:  # a division by zero, NaN made an integer
            raise ExecutionError(str(error)) from error
        if isinstance(made, int) and not -(2**63) <= made < 2**63:
            raise ExecutionError(f"{made} does not fit 64 bits")
        return made

    return run


NUMBERS = {name: _checked(kinds, function) for name, (kinds, function) in _FUNCTIONS.items()}
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
