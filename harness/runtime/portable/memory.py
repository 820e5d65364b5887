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

from harness.errors import ExecutionError, MachineError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import Plan, TensorValue

__all__ = ["Arenas", "Memory", "in_layout"]

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
        if sum(plan.arenas) > _MOST_PLANNED:
            raise MachineError(
                f"method {plan.name!r} plans {sum(plan.arenas)} bytes of memory, more than "
                f"{_MOST_PLANNED}"
            )
        try:
            return [np.zeros(size, np.uint8) for size in plan.arenas]
        except MemoryError as error:
            raise MachineError(
                f"method {plan.name!r} plans {sum(plan.arenas)} bytes of memory, more than this "
                "machine gives"
            ) from error

    def tensor(self, index: int, shape: Sequence[int] | None = None) -> Array:
        """Writable view of tensor `index` at `shape`, or at its declared sizes."""
        value = self.plan.values[index]
        if not isinstance(value, TensorValue):
            raise ExecutionError("a tensor is made where the plan has none")
        sizes = value.sizes if shape is None else tuple(shape)
        if not value.takes(sizes):
            raise ExecutionError(
                f"a tensor of shape {sizes} is made, expected "
                f"{'at most ' if value.dynamic else ''}{value.sizes}"
            )
        dtype = SCALAR_TYPES[value.scalar_type].numpy
        if value.place is not None:
            room = self.arenas[value.place.arena][value.place.offset :]
        elif value.data is not None or value.external is not None:
            raise ExecutionError("a constant would be overwritten")
        else:
            if index not in self.own:
                self.own[index] = _allocated(prod(value.sizes) * dtype.itemsize)
            room = self.own[index]
        return in_layout(room[: prod(sizes) * dtype.itemsize].view(dtype), sizes, value.dim_order)


def in_layout(flat: Array, sizes: Sequence[int], dim_order: Sequence[int]) -> Array:
    """Elements in memory order as an array of `sizes`, outermost dimension in memory first."""
    stored = flat.reshape([sizes[axis] for axis in dim_order])
    return stored.transpose([dim_order.index(axis) for axis in range(len(sizes))])


def _allocated(size: int) -> NDArray[np.uint8]:
    try:
        return np.zeros(size, np.uint8)
    except (MemoryError, ValueError) as error:
        raise MachineError(f"a tensor of {size} bytes is more than this machine gives") from error
