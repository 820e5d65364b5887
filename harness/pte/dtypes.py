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


_FIRST = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
_OTHERS = {11: "bool", 15: "bfloat16", 27: "uint16", 28: "uint32", 29: "uint64"}
_NOT_DELEGATED = ("float64", "uint16", "uint64")

SCALAR_TYPES = {
    number: ScalarType(number, name, name not in _NOT_DELEGATED)
    for number, name in {**dict(enumerate(_FIRST)), **_OTHERS}.items()
}
