"""ExecuTorch's scalar types, by number, with their numpy and MLX names."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

__all__ = ["SCALAR_TYPES", "ScalarType"]


@dataclass(frozen=True)
class ScalarType:
    """One element type.

    Attributes
    ----------
    number
        ExecuTorch's ScalarType (executorch/exir/_serialize/scalar_type.fbs).
    name
        numpy's name, ``bfloat16`` being that of ml_dtypes.
    delegated
        Whether the MLX delegate has this type (its `resolve_dtype` refuses the others).
    """

    number: int
    name: str
    delegated: bool = True

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy type."""
        return np.dtype(ml_dtypes.bfloat16 if self.name == "bfloat16" else self.name)


SCALAR_TYPES = {
    scalar.number: scalar
    for scalar in (
        ScalarType(0, "uint8"),
        ScalarType(1, "int8"),
        ScalarType(2, "int16"),
        ScalarType(3, "int32"),
        ScalarType(4, "int64"),
        ScalarType(5, "float16"),
        ScalarType(6, "float32"),
        ScalarType(7, "float64", delegated=False),
        ScalarType(11, "bool"),
        ScalarType(15, "bfloat16"),
        ScalarType(27, "uint16", delegated=False),
        ScalarType(28, "uint32"),
        ScalarType(29, "uint64", delegated=False),
    )
}
