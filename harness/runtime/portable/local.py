"""Watch a call of the portable executor, and judge each node that it ran."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from harness.fingerprint import Regime
from harness.float64.local import Shadow
from harness.runtime.portable.blas import mx
from harness.runtime.portable.method import Entered, Location
from harness.runtime.portable.probe import Step
from harness.runtime.portable.tensors import to_mlx, to_numpy
from harness.runtime.protocol import StepError

__all__ = ["Watch"]


class Watch:
    """An observer of one method.

    Parameters
    ----------
    steps
        Of the method.
    regime
        How exactly the executor multiplies.
    """

    repair: Collection[int] = ()
    """Numbers of steps whose float64 value, rounded, takes the place of what they make."""

    def __init__(self, steps: Sequence[Step], regime: Regime | None = None) -> None:
        self._steps = {step.location: step for step in steps}
        self._regime = regime
        self._shadows: dict[int, Shadow] = {}
        self._found: list[StepError] = []

    def __call__(self, where: Location, what: Any, made: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Take what was made at a place; see `method.Observer`."""
        if isinstance(what, Entered):
            self._enter(where.instruction, what, made)
            return None
        error = None
        if where.chain is not None:  # no kernel between delegates
            error = self._shadows[where.instruction].step(what, tuple(map(_array, made)))
        step = self._steps[where]
        origin = step.origin
        name = "" if origin is None else origin.node or origin.edge
        module = "" if origin is None else origin.module or ""
        self._found.append(StepError(step.index, step.op, name, module, error))
        if step.index not in self.repair or error is None:
            return None
        shadow = self._shadows[where.instruction]
        right = [_rounded(*pair) for pair in zip(shadow.meant, made, strict=True)]
        shadow.put(what, [_array(value) for value in right])
        return tuple(right)

    def taken(self) -> list[StepError]:
        """What was seen since this was last asked."""
        found, self._found = self._found, []
        return found

    def _enter(self, instruction: int, what: Entered, arguments: tuple[Any, ...]) -> None:
        if instruction not in self._shadows:
            delegate: Any = what.delegate
            constants = [to_numpy(constant) for constant in delegate.constants]
            self._shadows[instruction] = Shadow(delegate.graph, constants, self._regime)
        # Buffers are updated in place: what they hold now is copied.
        buffers = [_array(buffer) for buffer in what.buffers]
        self._shadows[instruction].enter([_array(value) for value in arguments], buffers)


def _array(value: Any) -> Any:
    return to_numpy(value) if isinstance(value, mx.array) else value


def _rounded(meant: Any, made: Any) -> Any:
    """What is meant, in the type of what was made."""
    if not isinstance(made, mx.array):
        return meant
    with np.errstate(over="ignore"):
        return to_mlx(np.ascontiguousarray(meant.astype(to_numpy(made).dtype)))
