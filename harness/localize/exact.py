"""Where a program, run in float64, stops meaning what its graph or its model means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.compare.metrics import difference
from harness.errors import ExecutionError
from harness.localize.graph import Graph
from harness.localize.steps import MOST, placed
from harness.pte.names import StepNames
from harness.report.finding import Finding, Place
from harness.runtime.exact import ExactExecutor
from harness.runtime.portable.method import Entered, Location

__all__ = ["Exact", "Trace"]


@dataclass
class Trace:
    """The steps of one call in float64.

    Attributes
    ----------
    values
        What each place made, by its first output and so on.
    ops
        Its node type or operator.
    order
        The places in the order run.
    refusal
        Why the program did not go on; empty where it did.
    """

    values: dict[Location, tuple[Any, ...]] = field(default_factory=dict)
    ops: dict[Location, str] = field(default_factory=dict)
    order: list[Location] = field(default_factory=list)
    refusal: str = ""


@dataclass(frozen=True)
class Step:
    """A step beside the node that it stands for.

    Attributes
    ----------
    number, where, name
        Of the step, and the node's name; empty where none is known.
    value
        Of the node; None where it cannot be compared.
    error
        How far the step is from it, of the scale; infinite where it has another shape.
    """

    number: int
    where: Location
    name: str
    value: Array | None
    error: float


@dataclass
class Exact:
    """Steps of one method in float64 beside its graph's nodes.

    Attributes
    ----------
    entry, names
        The method in the file, and what its export says of its steps.
    executor
        Has the file loaded.
    graph
        What was lowered.
    """

    entry: str
    names: StepNames
    executor: ExactExecutor
    graph: Graph

    def run(
        self, calls: Sequence[Sequence[Array]], replace: Mapping[Location, Array]
    ) -> tuple[list[Array], Trace]:
        """The last of some calls, made from a fresh state: its outputs and its steps.

        No outputs where the program refuses to go on. `replace` puts other values in the place of
        what steps make, in the last call alone.
        """
        self.executor.reset()
        for call in calls[:-1]:
            self.executor.call(self.entry, call)
        trace = Trace()

        def observe(where: Location, what: Any, made: tuple[Any, ...]) -> Any:
            if isinstance(what, Entered):
                return None
            if where in replace and made:
                value = replace[where]
                fits = made[0].size == value.size
                made = (value.reshape(made[0].shape) if fits else value, *made[1:])
            trace.values[where] = made
            trace.ops[where] = getattr(what, "operator", type(what).__name__)
            trace.order.append(where)
            return made if where in replace else None

        try:
            return self.executor.call(self.entry, calls[-1], observer=observe), trace
        except ExecutionError as error:
            trace.refusal = str(error)
            return [], trace

    def find(
        self,
        calls: Sequence[Sequence[Array]],
        apart: Callable[[Sequence[Array]], float],
        allowed: float,
    ) -> tuple[list[Finding], bool, dict[int, float]]:
        """Nodes that differ from the graph's, each with those before it replaced by the graph's.

        Parameters
        ----------
        calls
            The call that went wrong, behind those that its state comes from.
        apart
            How far outputs of it are from what eager makes, of their scale.
        allowed
            Difference of the scale that is none.

        Returns
        -------
        findings, proved, along
            And whether, with all of them replaced, the outputs are what is meant; and how far each
            step was from its node before any was.
        """
        for call in calls[:-1]:
            self.graph.call(call)
        nodes = self.graph.call(calls[-1])

        def wrong(outputs: Sequence[Array]) -> bool:
            return not outputs or not apart(outputs) <= allowed

        found: list[Finding] = []
        replace: dict[Location, Array] = {}
        outputs, trace = self.run(calls, replace)
        along = {s.number: s.error for s in self._steps(trace, nodes) if math.isfinite(s.error)}
        while wrong(outputs) and len(found) < MOST:
            step = self._first(trace, nodes, allowed, set(replace))
            if step is None:
                if not found and (trace.refusal or self._means(outputs, wrong)):
                    found = self._uncompared(trace)
                break
            found.append(self._finding(trace, step))
            if step.value is None:
                break
            replace[step.where] = step.value
            outputs, trace = self.run(calls, replace)
        return found, not wrong(outputs), along

    def _first(
        self, trace: Trace, nodes: Mapping[str, Any], allowed: float, known: set[Location]
    ) -> Step | None:
        for step in self._steps(trace, nodes):
            if step.where not in known and step.error > allowed:
                return step
        return None

    def _steps(self, trace: Trace, nodes: Mapping[str, Any]) -> Iterator[Step]:
        """The steps that can be compared, in the order run."""
        stands_for = {
            Location(*place): name
            for name, (place, output) in self.names.values.items()
            if not output and name in nodes
        }
        for number, where in enumerate(trace.order):
            made = trace.values[where]
            if not made or not isinstance(made[0], np.ndarray):
                continue
            name = stands_for.get(where, "")
            value = _numbers(nodes[name]) if name else None
            if not self._shaped(where, made[0]):
                name = name or self._node_of(where)
                yield Step(number, where, name, value, math.inf)
            elif value is not None and made[0].size == value.size:
                error, _ = difference(made[0].reshape(value.shape), value)
                yield Step(number, where, name, value, error)

    def _shaped(self, where: Location, made: Array) -> bool:
        """Whether a step made what the export says of its shape, if it says anything."""
        _, sizes = self.names.types.get((where, 0), ("", made.shape))
        return len(sizes) == made.ndim and all(
            wanted in (None, size) for wanted, size in zip(sizes, made.shape, strict=True)
        )

    def _node_of(self, where: Location) -> str:
        origin = self.names.origins.get(where)
        return "" if origin is None else origin.node or origin.edge

    def _means(self, outputs: Sequence[Array], wrong: Callable[[Sequence[Array]], bool]) -> bool:
        """Whether the graph makes what is meant, so that only its lowering can be wrong."""
        made = self.graph.returned
        return len(made) == len(outputs) and not wrong(made)

    def _uncompared(self, trace: Trace) -> list[Finding]:
        """The step that is wrong where all that can be compared are right.

        It is the one that refuses, or else the last of those that stand for no node's value.
        """
        if trace.refusal:
            last = _position(trace.order[-1]) if trace.order else (0, -1)
            places = (Location(*place) for place in self.names.origins)
            where = min((p for p in places if _position(p) > last), key=_position, default=None)
        else:
            where = next((w for w in reversed(trace.order) if self._node_of(w)), None)
        if where is None:
            return []
        number = len(trace.order) if trace.refusal else trace.order.index(where)
        return [self._finding(trace, Step(number, where, self._node_of(where), None, math.inf))]

    def _finding(self, trace: Trace, step: Step) -> Finding:
        index: tuple[int, ...] = ()
        around: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        made = trace.values.get(step.where, ())[:1]
        if step.value is not None and made and made[0].size == step.value.size:
            here = made[0].reshape(step.value.shape)
            _, index = difference(here, step.value)
            around = _around(here, index), _around(step.value, index)
        origin = self.names.origins.get(step.where)
        op, module = trace.ops.get(step.where, ""), "" if origin is None else origin.module or ""
        place = placed(Place(step.number, op, step.name, "", module), self.names)
        return Finding(place, "exact", "the lowering", step.error, index, *around)


def _position(where: Location) -> tuple[int, int]:
    return where.instruction, -1 if where.node is None else where.node


def _around(value: Array, index: tuple[int, ...], reach: int = 1) -> tuple[float, ...]:
    """The values beside one element, along the last axis."""
    if not index:
        return (float(value),) if value.ndim == 0 else ()
    row = value[index[:-1]]
    return tuple(float(v) for v in row[max(0, index[-1] - reach) : index[-1] + reach + 1])


def _numbers(value: Any) -> Array | None:
    """A tensor of a graph as an array, its booleans and integers included."""
    detach: Callable[[], Any] | None = getattr(value, "detach", None)
    if detach is None:
        return None
    found: Array = detach().numpy()
    return found
