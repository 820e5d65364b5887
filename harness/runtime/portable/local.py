"""Watch a call of the portable executor, and judge each node that it ran."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import HarnessError
from harness.fingerprint import Regime
from harness.float64.local import NodeError, Shadow, error_within, first_unequal
from harness.float64.rules import Kind, kind_of, slack
from harness.float64.semantics import evaluate
from harness.float64.slots import is_float, widened
from harness.pte.payload import Tid
from harness.pte.plan import DelegateCall, Plan
from harness.runtime.portable.blas import mx
from harness.runtime.portable.method import Entered, Location
from harness.runtime.portable.probe import Step
from harness.runtime.portable.tensors import to_mlx, to_numpy
from harness.runtime.protocol import StepError

__all__ = ["Given", "Watch"]


@dataclass(frozen=True)
class Given:
    """What another runtime made in the same call.

    Attributes
    ----------
    values
        By step and number of the output there.
    regime
        How exactly that runtime multiplies; None: in float32.
    """

    values: Mapping[tuple[int, int], Array]
    regime: Regime | None = None


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

    given: Mapping[tuple[int, int], Array] = {}
    """Values of another runtime, which take the place of what is made; see `Given`."""

    def __init__(self, steps: Sequence[Step], regime: Regime | None = None) -> None:
        self._steps = {step.location: step for step in steps}
        self._regime = regime
        self._shadows: dict[int, Shadow] = {}
        self._found: list[StepError] = []
        self._hidden: dict[str, tuple[StepError, float]] = {}

    def __call__(self, where: Location, what: Any, made: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Take what was made at a place; see `method.Observer`."""
        if isinstance(what, Entered):
            self._enter(where.instruction, what, made)
            return None
        step = self._steps[where]
        others = self._others(step.index, made)
        found = StepError(step.index, step.op, step.name, step.module, None)
        if where.chain is not None:  # no kernel between delegates
            shadow = self._shadows[where.instruction]
            hides = self.given and others is None and kind_of(what) is not Kind.EXACT
            bound = self._bound(shadow, what, made) if hides else None
            error = shadow.step(what, tuple(map(_array, others or made)))
            found = replace(found, error=error)
            if bound is not None:
                self._hidden[found.name] = found, bound
            elif others is not None and kind_of(what) is Kind.EXACT and found.name in self._hidden:
                found = _behind(*self._hidden.pop(found.name), shadow.meant[0], _array(others[0]))
        self._found.append(found)
        if step.index not in self.repair or found.error is None:
            return others
        right = [_rounded(*pair) for pair in zip(shadow.meant, made, strict=True)]
        shadow.put(what, [_array(value) for value in right])
        return tuple(right)

    def _others(self, step: int, made: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """What a step made, with the given values among it; None where none is given."""
        found, known = list(made), False
        for number, own in enumerate(made):
            other = self.given.get((step, number))
            # One of another shape is a view of what is made, which has no step of its own.
            if other is not None and isinstance(own, mx.array) and own.shape == other.shape:
                found[number] = to_mlx(np.require(other, requirements="C")).astype(own.dtype)
                known = True
        return tuple(found) if known else None

    def _bound(self, shadow: Shadow, node: Any, made: tuple[Any, ...]) -> float | None:
        """By how much one that makes floating-point numbers may be off at most."""
        own = _array(made[0])
        if not isinstance(own, np.ndarray) or not is_float(own.dtype):
            return None
        try:
            (meant,) = evaluate(node, shadow.slots)
            allowed = slack(node, shadow.slots, meant, own.dtype, self._regime)
        except (HarnessError, ValueError):  # no semantics, or several results
            return None
        return float(np.max(allowed, initial=0.0))

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


def _behind(before: StepError, bound: float, meant: Array, made: Array) -> StepError:
    """What an unseen step did, seen behind an exact one of the same exported node.

    A convolution, for one, is a step between two changes of layout, and its node's value is that
    of the last. This has the roundings of the step before it on both runtimes.
    """
    with np.errstate(all="ignore"):  # the infinities of a mask
        return replace(before, error=error_within(before.op, meant, made, 2 * bound))


def _array(value: Any) -> Any:
    return to_numpy(value) if isinstance(value, mx.array) else value


def _rounded(meant: Any, made: Any) -> Any:
    """What is meant, in the type of what was made."""
    if not isinstance(made, mx.array):
        return meant
    with np.errstate(over="ignore"):
        return to_mlx(np.require(meant.astype(to_numpy(made).dtype), requirements="C"))
