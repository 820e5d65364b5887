"""See inside a method: what each step makes, stop at one, put another value in its place.

A *step* is a node of a delegate or a kernel between delegates, where something is made::

    probe = executor.probe("forward")
    probe.values(inputs, at=["layers_0_linear", 17])   # by exported node, or by number
    probe.run(inputs, until="softmax")                  # ends there
    probe.run(inputs, replace={"softmax": array}).outputs
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import InputError
from harness.pte.names import Origin, StepNames
from harness.pte.plan import DelegateCall, KernelCall
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import Stop
from harness.runtime.portable.method import Entered, Location, Method
from harness.runtime.portable.tensors import to_mlx, to_numpy

__all__ = ["Probe", "Run", "Step"]

At = int | str
"""A step's number, or the name of a node of the exported graph (or of the lowered one)."""


@dataclass(frozen=True)
class Step:
    """Where something is made."""

    index: int
    location: Location  # where that is in the plan, and in a delegate
    op: str  # node type (``AddmmNode``) or operator (``aten::index_put.out``)
    origin: Origin | None  # what it was exported from, where the export kept names

    @property
    def name(self) -> str:
        """The exported node that it computes; empty where unknown."""
        return "" if self.origin is None else self.origin.node or self.origin.edge

    @property
    def module(self) -> str:
        """Path of that node's module; empty where unknown."""
        return "" if self.origin is None else self.origin.module or ""

    def __str__(self) -> str:
        name = f" ({self.origin.node or self.origin.edge})" if self.origin else ""
        return f"step {self.index}, {self.op}{name}"


@dataclass(frozen=True)
class Run:
    """One run."""

    outputs: list[Array] | None  # what the method returned; None if the run ended before
    values: dict[At, Array]


class Probe:
    """Looks into one method of a loaded program; made by `PortableExecutor.probe`."""

    def __init__(self, run: Callable[..., list[Array]], method: Method, names: StepNames) -> None:
        self._run = run
        self._method = method
        self._names = names
        self.steps = tuple(
            Step(index, location, op, names.origins.get(location))
            for index, (location, op) in enumerate(_locations(method))
        )
        self._by_location = {step.location: step for step in self.steps}

    def names(self) -> tuple[str, ...]:
        """Exported nodes whose value can be asked for, in the order they are made."""
        return tuple(sorted(self._names.values, key=lambda name: self._find(name)[0].index))

    def step(self, at: At) -> Step:
        """The step with a number, or that makes the value of a named node."""
        return self._find(at)[0]

    def values(
        self, inputs: Sequence[Array], at: Iterable[At] | None = None, *, state: str = "default"
    ) -> dict[At, Array]:
        """Run to the end, and give what the steps `at` made (default: all, by number)."""
        if at is not None:
            return self.run(inputs, at=at, state=state).values
        values: dict[At, Array] = {}

        def observe(where: Location, what: Any, made: tuple[Any, ...]) -> None:
            if made and not isinstance(what, Entered):
                values[self._by_location[where].index] = _array(made[0])

        self._run(inputs, state=state, observer=observe)
        return values

    def run(
        self,
        inputs: Sequence[Array],
        *,
        at: Iterable[At] = (),  # steps whose values are wanted
        until: At | None = None,
        replace: Mapping[At, Any] | None = None,
        state: str = "default",  # as in `PortableExecutor.call`
    ) -> Run:
        """Run once; to the step `until`, if given, whose value is kept too.

        `replace` gives a step another value: an array of the same shape and dtype, a number, or
        a function from the value to such an array. InputError for a step that does not exist, a
        replacement that does not fit, or a wanted step that this run did not reach.
        """
        wanted = {key: self._find(key) for key in (*at, *(() if until is None else (until,)))}
        put = {self._find(key): (key, value) for key, value in (replace or {}).items()}
        last = None if until is None else self.step(until)
        values: dict[At, Array] = {}
        seen: set[At] = set()

        def observe(where: Location, what: Any, made: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if isinstance(what, Entered):
                return None
            step, parts = self._by_location[where], list(made)
            for (replaced, output), (key, value) in put.items():
                if replaced is step:
                    parts[output] = _replacement(step, parts[output], value)
                    seen.add(key)
            for key, (asked, output) in wanted.items():
                if asked is step and output < len(parts):
                    values[key] = _array(parts[output])
                    seen.add(key)
            if step is last:
                raise Stop
            return tuple(parts) if any(replaced is step for replaced, _ in put) else None

        outputs: list[Array] | None
        try:
            outputs = self._run(
                inputs,
                state=state,
                observer=observe,
                # What was computed of a constant before would not see a replaced one.
                unaccelerated={step.location.instruction for step, _ in put},
            )
        except Stop:
            outputs = None
        missing = [key for key in (*wanted, *(replace or {})) if key not in seen]
        if missing:
            raise InputError(
                f"{self.step(missing[0])} made nothing in this run: it lies behind the end of the "
                "run, in a branch that was not taken, or writes no value"
            )
        return Run(outputs, values)

    def _find(self, at: At) -> tuple[Step, int]:
        """The step and the number of the output there."""
        if isinstance(at, int):
            if 0 <= at < len(self.steps):
                return self.steps[at], 0
            raise InputError(
                f"method {self._method.plan.name!r} has steps 0 to {len(self.steps) - 1} (got {at})"
            )
        if at in self._names.values:
            place, output = self._names.values[at]
            return self._by_location[Location(*place)], output
        made = [s for s in self.steps if s.origin is not None and s.origin.edge == at]
        if made:
            return made[-1], 0
        raise InputError(self._unknown(at))

    def _unknown(self, name: str) -> str:
        method = self._method.plan.name
        if not self._names.values:
            return (
                f"{name!r} is not known: no names were kept beside the program of {method!r}; "
                "export it again with voxtral-parity, or name steps by number"
            )
        near = get_close_matches(name, self._names.values, 3, 0.5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        return f"{name!r} is no exported node with a value in method {method!r}{hint}"


def _replacement(step: Step, made: Any, value: Any) -> Any:
    """A value of the kind of `made`."""
    before = _array(made)
    given = np.asarray(value(before) if callable(value) else value)
    if given.shape != before.shape or given.dtype != before.dtype:
        raise InputError(
            f"the value of {step} is {before.dtype} of shape {before.shape}, its replacement "
            f"{given.dtype} of shape {given.shape}; give it the same"
        )
    if isinstance(made, mx.array):
        return to_mlx(given)
    return np.array(given) if isinstance(made, np.ndarray) else given.item()


def _array(made: Any) -> Array:
    """What a step made, as a numpy array of its own."""
    return to_numpy(made) if isinstance(made, mx.array) else np.array(made)


def _locations(method: Method) -> Iterable[tuple[Location, str]]:
    """Every place of a method's program, each with its op."""
    for position, call in enumerate(method.plan.instructions):
        if isinstance(call, KernelCall):
            yield Location(position), call.operator
        elif isinstance(call, DelegateCall):
            graph = method.delegates[call.delegate].graph
            # Chains that scans and branches run follow; each may be run from several places.
            inner = [i for i in range(len(graph.chains)) if i not in (graph.main, graph.init)]
            for chain in (graph.main, *inner):
                for index, node in enumerate(graph.chains[chain]):
                    yield Location(position, chain, index), type(node).__name__
