"""The bytes of a method's tensors, laid out as memory planning laid them out.

Planned tensors are views of shared arenas, so that what upstream's runtime shares is shared here:
a view that planning elided, a buffer that an in-place kernel updates, a tensor whose bytes a later
one takes over. Arenas live as long as a state, since mutable buffers are planned in them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ExecutionError, MachineError, ProgramError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import Plan, TensorValue, Value
from harness.pte.program import Program

__all__ = [
    "Arenas",
    "Memory",
    "contents",
    "initial",
    "is_contiguous",
    "require_contiguous",
    "require_fit",
]

Array = NDArray[Any]
Arenas = list[NDArray[np.uint8]]

# The portable executor holds a delegate's activations in MLX, where the bound is 4 GB an array.
_MOST_PLANNED = 64 << 30


@dataclass
class Memory:
    """Gives each tensor of one call its bytes."""

    plan: Plan
    arenas: Arenas  # by number; see `fresh_arenas`
    own: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @staticmethod
    def fresh_arenas(plan: Plan) -> Arenas:
        """Zeroed arenas for a new state; their pages take memory once they are written."""
        what = f"method {plan.name!r} plans {sum(plan.arenas)} bytes of memory, more than"
        if sum(plan.arenas) > _MOST_PLANNED:
            raise MachineError(f"{what} {_MOST_PLANNED}")
        return [_zeros(size, what) for size in plan.arenas]

    def tensor(self, index: int, shape: Sequence[int] | None = None) -> Array:
        """Writable view of tensor `index` at `shape`, or at its declared sizes."""
        value = self.plan.values[index]
        if not isinstance(value, TensorValue):
            raise ExecutionError("a tensor is made where the plan has none")
        sizes = value.sizes if shape is None else tuple(shape)
        require_fit(value, sizes)
        dtype = SCALAR_TYPES[value.scalar_type].numpy
        if value.place is not None:
            room = self.arenas[value.place.arena][value.place.offset :]
        elif value.data is not None or value.external is not None:
            raise ExecutionError("a constant would be overwritten")
        else:
            if index not in self.own:
                size = prod(value.sizes) * dtype.itemsize
                self.own[index] = _zeros(size, f"a tensor of {size} bytes is more than")
            room = self.own[index]
        return _in_layout(room[: prod(sizes) * dtype.itemsize].view(dtype), sizes, value.dim_order)


def require_fit(value: TensorValue, shape: tuple[int, ...]) -> None:
    """Refuse a tensor that does not fit what the plan declares."""
    if not value.takes(shape):
        raise ExecutionError(
            f"a tensor of shape {shape} is made, expected "
            f"{'at most ' if value.dynamic else ''}{value.sizes}"
        )


def is_contiguous(value: TensorValue) -> bool:
    """Whether elements lie in C order."""
    return value.dim_order == tuple(range(len(value.sizes)))


def require_contiguous(value: TensorValue, what: str) -> None:
    """MLX's delegate copies tensors in C order, whatever layout the plan declares."""
    if not is_contiguous(value):
        raise ExecutionError(
            f"{what} has the memory layout {value.dim_order}, which MLX's delegate ignores; "
            "export it contiguous"
        )


def _in_layout(flat: Array, sizes: Sequence[int], dim_order: Sequence[int]) -> Array:
    """Elements in memory order as an array of `sizes`, outermost dimension in memory first."""
    stored = flat.reshape([sizes[axis] for axis in dim_order])
    return stored.transpose([dim_order.index(axis) for axis in range(len(sizes))])


def _zeros(size: int, what: str) -> NDArray[np.uint8]:
    try:
        return np.zeros(size, np.uint8)
    except (MemoryError, ValueError) as error:
        raise MachineError(f"{what} this machine gives") from error


def initial(program: Program, plan: Plan, value: Value) -> Any:
    """What a value is before a call: a read-only view of a constant, a number, or None."""
    if not isinstance(value, TensorValue):
        return value
    if value.external is not None and value.data is None:
        raise ProgramError(
            f"method {plan.name!r} needs {value.external!r}, which {program.path} keeps in another "
            "file; give the .ptd that was exported with it"
        )
    return None if value.data is None or value.place is not None else contents(program, value)


def contents(program: Program, value: TensorValue) -> Array:
    """A tensor's contents in the file, as a read-only view of it."""
    assert value.data is not None
    flat = np.frombuffer(program.data(value.data), SCALAR_TYPES[value.scalar_type].numpy)
    return _in_layout(flat, value.sizes, value.dim_order)
