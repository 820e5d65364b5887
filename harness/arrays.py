"""Arrays as every room hands them on: numpy's, bfloat16 being that of `ml_dtypes`.

The bit-for-bit bridges to other libraries' bfloat16 are here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BFLOAT16",
    "Array",
    "as_array",
    "dtype_of",
    "from_bits",
    "from_torch",
    "to_bits",
    "to_torch",
]

Array = NDArray[Any]
"""A tensor; bfloat16 is `ml_dtypes.bfloat16`."""

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def dtype_of(name: str) -> np.dtype[Any]:
    """The numpy type of that name, e.g. ``"float32"``, ``"bfloat16"``."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def as_array(value: Any, dtype: str) -> Array:
    """`value` as a C-contiguous array of the type named `dtype`."""
    return np.asarray(value, dtype_of(dtype), order="C")  # ascontiguousarray adds an axis to ()


def to_bits(value: Array) -> Array:
    """bfloat16 as uint16 of the same bits, for formats that do not know it; others as they are."""
    return value.view(np.uint16) if value.dtype == BFLOAT16 else value


def from_bits(value: Array, dtype: str) -> Array:
    """The array of type `dtype` whose `to_bits` is `value`."""
    return value.view(BFLOAT16) if dtype == "bfloat16" else value


def to_torch(value: Array) -> Tensor:
    """A tensor of the same bits that shares memory with `value`, a writable contiguous array.

    Raises
    ------
    TypeError
        torch does not know the type.
    """
    import torch

    if value.dtype == BFLOAT16:
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(value)


def from_torch(tensor: Tensor) -> Array:
    """An array of the same bits that shares memory with `tensor` where it is contiguous."""
    import torch

    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.contiguous().numpy()
