"""Weights of a file as MLX arrays, each of them in memory once.

MLX cannot lend a mapped page: what it makes of one is a copy, and while it is made both are in
memory. A large tensor is therefore read past the mapping, into memory that MLX has already taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.errors import ProgramError
from harness.pte.dtypes import ScalarType
from harness.pte.plan import Span
from harness.pte.program import Program
from harness.runtime.portable.blas import mx
from harness.runtime.portable.slots import mlx_dtype, to_mlx

__all__ = ["read_tensor"]

_LARGE = 1 << 20
"""Bytes from which on two copies are worth avoiding."""


def read_tensor(program: Program, where: Span, scalar: ScalarType, shape: tuple[int, ...]) -> Any:
    """The tensor that lies at `where` in one of a program's files.

    Parameters
    ----------
    where
        Exactly the tensor's bytes, in C order.

    Raises
    ------
    ProgramError
        The file has become shorter since it was opened.
    """
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
