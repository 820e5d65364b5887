"""Tensors as MLX arrays: their types, their copies to and from numpy, the weights of a file.

MLX cannot lend a mapped page: what it makes of one is a copy, and while it is made both are in
memory. A large tensor is therefore read past the mapping, into memory that MLX has already taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from harness.arrays import BFLOAT16, Array, from_bits, to_bits
from harness.errors import ExecutionError, MachineError, ProgramError
from harness.pte.dtypes import SCALAR_TYPES, ScalarType
from harness.pte.plan import Span
from harness.pte.program import Program
from harness.runtime.portable.blas import mx

__all__ = [
    "LARGEST_BYTES",
    "affordable",
    "allocatable",
    "mlx_dtype",
    "read_tensor",
    "to_mlx",
    "to_numpy",
]

# Upstream's runtime makes no tensor larger than this from a program's numbers.
LARGEST_BYTES = 4 * 1024**3
_LARGE = 1 << 20  # bytes from which on two copies are worth avoiding


def read_tensor(program: Program, where: Span, scalar: ScalarType, shape: tuple[int, ...]) -> Any:
    """The tensor that lies at `where` in one of a program's files."""
    if where.size < _LARGE:
        with program.data(where) as data:
            return to_mlx(np.frombuffer(data, scalar.numpy).reshape(shape))
    octets = mx.zeros((where.size,), mx.uint8)
    mx.eval(octets)
    # Nobody else has seen the array, so that it may still become what the file holds.
    with memoryview(octets) as memory:
        count = program.files[where.file].read_into(memory, where.offset)
    if count < where.size:
        raise ProgramError(f"{program.path} was cut short while it was read; load it again")
    return octets.view(mlx_dtype(scalar.number)).reshape(shape)


_MLX_DTYPES = {
    scalar.number: getattr(mx, "bool_" if scalar.name == "bool" else scalar.name)
    for scalar in SCALAR_TYPES.values()
    if scalar.delegated
}


def mlx_dtype(scalar_type: int) -> Any:
    """MLX's type for an ExecuTorch ScalarType number."""
    found = _MLX_DTYPES.get(scalar_type)
    if found is None:
        raise ExecutionError(f"ScalarType {scalar_type} does not exist in MLX's delegate")
    return found


def to_mlx(array: Array) -> Any:
    """Copy a numpy array into an MLX array of the same bits."""
    made = mx.array(to_bits(np.asarray(array, order="C")))
    return made.view(mx.bfloat16) if array.dtype == BFLOAT16 else made


def to_numpy(array: Any) -> Array:
    """Copy an MLX array into a numpy array of the same bits."""
    if array.dtype == mx.bfloat16:
        return from_bits(np.array(array.view(mx.uint16)), "bfloat16")
    return np.array(array)


def allocatable(shape: Sequence[int], dtype: Any) -> tuple[int, ...]:
    """`shape`, if upstream would make a tensor of it."""
    if any(size <= 0 for size in shape):
        raise ExecutionError(f"shape {tuple(shape)} has a dimension that is not positive")
    if prod(shape) * dtype.size > LARGEST_BYTES:
        raise ExecutionError(f"shape {tuple(shape)} takes more than 4 GB, which native refuses")
    return tuple(shape)


def affordable(shape: Sequence[int], dtype: Any) -> tuple[int, ...]:
    """`shape`, if memory may hold it; unlike `allocatable`, it may be empty."""
    if prod(shape) * dtype.size > LARGEST_BYTES:
        raise MachineError(f"shape {tuple(shape)} takes more than 4 GB")
    return tuple(shape)
