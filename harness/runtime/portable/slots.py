"""The numbered tensors and values that a delegate's instructions read and write."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.arrays import BFLOAT16, Array, from_bits, to_bits
from harness.errors import ExecutionError, SilentOddityWarning
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.payload import Slot, Tid, Vid
from harness.runtime.portable.blas import mx
from harness.runtime.portable.fp32_weights import Fp32Weights

if TYPE_CHECKING:
    from harness.runtime.portable.kv_cache import SequenceCache

__all__ = ["INT32_MAX", "INT32_MIN", "Slots", "mlx_dtype", "to_mlx", "to_numpy", "warn_oddity"]

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)

IntOrVid = int | Vid


@dataclass(slots=True)
class Slots:
    """Slots of one run.

    Attributes
    ----------
    tensors
        By tensor number; None until written.
    values
        By value number, 32-bit integers as in upstream's runtime; None until written.
    constants
        How many tensors, from 0, may not be written.
    faithful
        Do as upstream's interpreter does on the CPU, bit for bit: accumulate 16-bit quantised
        products as MLX does there instead of in float32 as Metal does, and follow its silent
        oddities with a warning instead of refusing them.
    fp32_weights
        Float32 copies of weights; None leaves every function to MLX's own kernels.
    cache
        The off-graph KV cache, if the host installed one.
    initialising
        The init chain is running: an instruction may put a new tensor in a constant's slot.
    """

    tensors: list[Any]
    values: list[int | None]
    constants: int
    faithful: bool = False
    fp32_weights: Fp32Weights | None = None
    cache: SequenceCache | None = None
    initialising: bool = False

    def tensor(self, tid: Tid) -> Any:
        """The tensor in a slot."""
        found = self.tensors[tid.idx]
        if found is None:
            raise ExecutionError(f"tensor {tid.idx} is read before it was written")
        return found

    def optional(self, tid: Tid | None) -> Any:
        """The tensor in a slot, or None if the node names no slot."""
        return None if tid is None else self.tensor(tid)

    def writable(self, tid: Tid) -> Any:
        """The tensor in a slot that an instruction updates in place."""
        if tid.idx < self.constants:
            raise ExecutionError(f"tensor {tid.idx} is a constant and would be overwritten")
        return self.tensor(tid)

    def value(self, vid: Vid) -> int:
        """The integer in a value slot."""
        found = self.values[vid.idx]
        if found is None:
            raise ExecutionError(f"value {vid.idx} is read before it was written")
        return found

    def integer(self, literal: IntOrVid) -> int:
        """A literal, held within 32 bits as upstream does, or the value it stands for."""
        if isinstance(literal, Vid):
            return self.value(literal)
        return max(INT32_MIN, min(INT32_MAX, literal))

    def integers(self, literals: Sequence[IntOrVid]) -> tuple[int, ...]:
        """Several of `integer`."""
        return tuple(self.integer(literal) for literal in literals)

    def real(self, literal: float | Vid) -> float:
        """A literal or value, rounded to float32 as upstream does."""
        number = self.value(literal) if isinstance(literal, Vid) else literal
        return float(np.float32(number))

    def store(self, slot: Slot, result: Any) -> None:
        """Write what an instruction made."""
        if isinstance(slot, Vid):
            self.values[slot.idx] = result
        elif slot.idx < self.constants and not self.initialising:
            raise ExecutionError(f"tensor {slot.idx} is a constant and would be overwritten")
        else:
            self.tensors[slot.idx] = result


def warn_oddity(text: str) -> None:
    """Say that upstream's interpreter does something silly here, and that this run follows it."""
    warnings.warn(
        f"upstream's runtime does this silently: {text}", SilentOddityWarning, stacklevel=2
    )


_MLX_DTYPES = {
    scalar.number: getattr(mx, "bool_" if scalar.name == "bool" else scalar.name)
    for scalar in SCALAR_TYPES.values()
    if scalar.delegated
}


def mlx_dtype(scalar_type: int) -> Any:
    """MLX's type for an ExecuTorch ScalarType number.

    Raises
    ------
    ExecutionError
        MLX's delegate refuses that type.
    """
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
