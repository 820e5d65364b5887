"""Numbered tensors and values of one run, floating point in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.arrays import BFLOAT16, Array
from harness.errors import ExecutionError
from harness.pte.payload import Slot, Tid, Vid

__all__ = ["Kept", "Slots", "is_float", "widened"]

_MOST_KEPT = 256 << 20
"""Bytes of widened constants that are kept from call to call."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a type is of floating point, bfloat16 included."""
    return dtype == BFLOAT16 or dtype.kind == "f"


def widened(value: Array) -> Array:
    """Floating point as float64, exactly; other types as they are."""
    return np.asarray(value, np.float64) if is_float(value.dtype) else value


@dataclass
class Kept:
    """What constants were turned into, as far as it takes little memory."""

    values: dict[Any, Array] = field(default_factory=dict)
    size: int = 0

    def get(self, key: Any, make: Callable[[], Array]) -> Array:
        """The value of `key`, made now if it was not kept."""
        if key in self.values:
            return self.values[key]
        made = make()
        if self.size + made.nbytes <= _MOST_KEPT:
            self.values[key] = made
            self.size += made.nbytes
        return made


@dataclass
class Slots:
    """Slots of one run.

    Attributes
    ----------
    constants
        Raw contents of the tensors from 0, in the file's types; widened when they are read.
    tensors, values
        What was written so far, by number.
    kept
        Shared by all runs of a program.
    """

    constants: Sequence[Array]
    kept: Kept
    tensors: dict[int, Array] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)

    def tensor(self, tid: Tid) -> Array:
        """The tensor in a slot."""
        found = self.tensors.get(tid.idx)
        if found is not None:
            return found
        if tid.idx < len(self.constants):
            raw = self.constants[tid.idx]
            return self.kept.get(tid.idx, lambda: widened(raw)) if is_float(raw.dtype) else raw
        raise ExecutionError(f"tensor {tid.idx} is read before it was written")

    def optional(self, tid: Tid | None) -> Array | None:
        """The tensor in a slot, or None if the node names no slot."""
        return None if tid is None else self.tensor(tid)

    def is_constant(self, tid: Tid | None) -> bool:
        """Whether a slot holds what it holds in every call."""
        return tid is None or (tid.idx < len(self.constants) and tid.idx not in self.tensors)

    def key(self, key: Any) -> Any:
        """Under which `kept` has what was made of constants as this run reads them."""
        return key

    def value(self, slot: Any) -> Any:
        """The number that a literal, held within 32 bits, or a value slot stands for."""
        if isinstance(slot, int):
            return max(-(2**31), min(2**31 - 1, slot))
        if not isinstance(slot, Vid):
            return slot
        if slot.idx not in self.values:
            raise ExecutionError(f"value {slot.idx} is read before it was written")
        return self.values[slot.idx]

    def integers(self, literals: Sequence[Any]) -> tuple[int, ...]:
        """Several of `value`."""
        return tuple(int(self.value(literal)) for literal in literals)

    def at(self, slot: Slot) -> Any:
        """The tensor or number in a slot."""
        return self.tensor(slot) if isinstance(slot, Tid) else self.value(slot)

    def store(self, slot: Slot, made: Any) -> None:
        """Write what a node made, or what an executor made of it."""
        if isinstance(slot, Tid):
            self.tensors[slot.idx] = widened(np.asarray(made))
        else:
            self.values[slot.idx] = int(made)

    def magnitudes(self) -> Slots:
        """The same slots with the magnitude of every real number."""
        return _Magnitudes(self.constants, self.kept, self.tensors, self.values)


class _Magnitudes(Slots):
    """A sum of magnitudes bounds how far the order of a sum can move it."""

    def tensor(self, tid: Tid) -> Array:
        found = super().tensor(tid)
        if not is_float(found.dtype):
            return found
        if self.is_constant(tid):
            return self.kept.get(self.key(tid.idx), lambda: np.abs(found))
        return np.abs(found)

    def key(self, key: Any) -> Any:
        return "magnitudes", key
