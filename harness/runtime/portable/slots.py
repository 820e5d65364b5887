"""The numbered tensors and values that a delegate's instructions read and write."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import ExecutionError, SilentOddityWarning
from harness.pte.payload import Slot, Tid, Vid
from harness.runtime.portable.fp32_weights import Fp32Weights
from harness.runtime.portable.kv_cache import SequenceCache

__all__ = ["INT32_MAX", "INT32_MIN", "Slots", "warn_oddity"]

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)

IntOrVid = int | Vid


@dataclass(slots=True)
class Slots:
    """Slots of one run."""

    tensors: list[Any]  # by tensor number; None until written
    values: list[int | None]
    constants: int  # how many tensors, from 0, may not be written
    # Upstream's bits on the CPU: 16-bit quantised products accumulate as MLX does there, not in
    # float32 as on Metal; silent oddities are followed with a warning instead of refused.
    faithful: bool = False
    fp32_weights: Fp32Weights | None = None  # None leaves every function to MLX's own kernels
    cache: SequenceCache | None = None  # the off-graph KV cache, if the host installed one
    initialising: bool = False  # the init chain may put a new tensor in a constant's slot

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

    def at(self, slot: Slot) -> Any:
        """The tensor or integer in a slot."""
        return self.tensor(slot) if isinstance(slot, Tid) else self.value(slot)

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
