"""Watch a call of the portable executor, and judge each node that it ran."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.fingerprint import Regime
from harness.float64.local import NodeError, Shadow, first_unequal
from harness.float64.slots import widened
from harness.pte.payload import Tid
from harness.pte.plan import DelegateCall, Plan
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

    def returned(self, plan: Plan, outputs: Sequence[Array]) -> None:
        """Judge what the method returned: what a step made, in the declared type, bit for bit."""
        for number, (value, output) in enumerate(zip(plan.outputs, outputs, strict=True)):
            meant = self._last_made(plan, value)
            if meant is None:
                continue
            error = _unequal(output, meant)
            if error.worst:
                step = len(self._steps) + number
                self._found.append(StepError(step, "output", "", "", error))

    def _last_made(self, plan: Plan, value: int) -> Array | None:
        """What a delegate left for one of the plan's values; None where none did."""
        found = None
        for instruction, shadow in self._shadows.items():
            call = plan.instructions[instruction]
            assert isinstance(call, DelegateCall)
            targets = call.args[len(shadow.graph.inputs) :]
            if value in targets:
                slot = shadow.graph.outputs[targets.index(value)]
                found = shadow.slots.tensor(slot) if isinstance(slot, Tid) else None
        return found

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


def _unequal(output: Array, meant: Array) -> NodeError:
    """How a result differs from what was made for it, in the type of the result."""
    if output.shape != meant.shape:
        return NodeError("output", np.inf, shape=output.shape)
    with np.errstate(over="ignore"):
        return first_unequal("output", output, widened(meant.astype(output.dtype)))


def _array(value: Any) -> Any:
    return to_numpy(value) if isinstance(value, mx.array) else value


def _rounded(meant: Any, made: Any) -> Any:
    """What is meant, in the type of what was made."""
    if not isinstance(made, mx.array):
        return meant
    with np.errstate(over="ignore"):
        return to_mlx(np.ascontiguousarray(meant.astype(to_numpy(made).dtype)))
