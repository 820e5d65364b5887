"""Watch a call of the portable executor, and judge each node that it ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.fingerprint import Regime
from harness.float64.local import Shadow
from harness.runtime.portable.blas import mx
from harness.runtime.portable.method import Entered, Location
from harness.runtime.portable.probe import Step
from harness.runtime.portable.tensors import to_numpy
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

    def __init__(self, steps: Sequence[Step], regime: Regime | None = None) -> None:
        self._steps = {step.location: step for step in steps}
        self._regime = regime
        self._shadows: dict[int, Shadow] = {}
        self._found: list[StepError] = []

    def __call__(self, where: Location, what: Any, made: tuple[Any, ...]) -> None:
        """Take what was made at a place; see `method.Observer`."""
        if isinstance(what, Entered):
            self._enter(where.instruction, what, made)
            return
        error = None
        if where.chain is not None:  # no kernel between delegates
            error = self._shadows[where.instruction].step(what, tuple(map(_array, made)))
        step = self._steps[where]
        origin = step.origin
        name = "" if origin is None else origin.node or origin.edge
        module = "" if origin is None else origin.module or ""
        self._found.append(StepError(step.index, step.op, name, module, error))

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
