"""Where a program, run in float64, stops meaning what its graph or its model means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.compare.metrics import difference
from harness.localize.graph import Graph
from harness.pte.names import StepNames
from harness.report.finding import Finding, Place
from harness.runtime.exact import ExactExecutor
from harness.runtime.portable.method import Entered, Location

__all__ = ["MOST", "Exact", "Trace"]

MOST = 12
"""Wrong nodes, or steps, after which a search ends."""


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
    """

    values: dict[Location, tuple[Any, ...]]
    ops: dict[Location, str]
    order: list[Location]

    @classmethod
    def empty(cls) -> Trace:
        """Nothing seen yet."""
        return cls({}, {}, [])


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

        `replace` puts other values in the place of what steps make, in the last call alone.
        """
        self.executor.reset()
        for call in calls[:-1]:
            self.executor.call(self.entry, call)
        trace = Trace.empty()

        def observe(where: Location, what: Any, made: tuple[Any, ...]) -> Any:
            if isinstance(what, Entered):
                return None
            if where in replace and made:
                made = (replace[where].reshape(made[0].shape), *made[1:])
            trace.values[where] = made
            trace.ops[where] = getattr(what, "operator", type(what).__name__)
            trace.order.append(where)
            return made if where in replace else None

        return self.executor.call(self.entry, calls[-1], observer=observe), trace

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
        found: list[Finding] = []
        replace: dict[Location, Array] = {}
        outputs, trace = self.run(calls, replace)
        along = {number: error for number, _, _, _, error in self._errors(trace, nodes)}
        while apart(outputs) > allowed and len(found) < MOST:
            wrong = self._first(trace, nodes, allowed, set(replace))
            if wrong is None:
                break
            where, name, value = wrong
            found.append(self._finding(trace, where, name, value))
            replace[where] = value
            outputs, trace = self.run(calls, replace)
        return found, bool(apart(outputs) <= allowed), along

    def _first(
        self, trace: Trace, nodes: Mapping[str, Any], allowed: float, known: set[Location]
    ) -> tuple[Location, str, Array] | None:
        for _, where, name, value, error in self._errors(trace, nodes):
            if where not in known and error > allowed:
                return where, name, value
        return None

    def _errors(
        self, trace: Trace, nodes: Mapping[str, Any]
    ) -> Iterator[tuple[int, Location, str, Array, float]]:
        """Each step that stands for a node, its node's value, and how far it is from that."""
        places = {where: i for i, where in enumerate(trace.order)}
        named = [
            (places[Location(*place)], Location(*place), output, name)
            for name, (place, output) in self.names.values.items()
            if Location(*place) in places and name in nodes
        ]
        for number, where, output, name in sorted(named):
            value = _numbers(nodes[name])
            made = trace.values[where][output]
            if value is None or not isinstance(made, np.ndarray) or made.size != value.size:
                continue
            if not output:
                error, _ = difference(made.reshape(value.shape), value)
                yield number, where, name, value, error

    def _finding(self, trace: Trace, where: Location, name: str, value: Array) -> Finding:
        made = trace.values[where][0].reshape(value.shape)
        error, index = difference(made, value)
        known = self.graph.describe(name)
        place = Place(
            trace.order.index(where), trace.ops[where], name, known.target, known.module,
            known.source, known.shapes,
        )  # fmt: skip
        around = _around(made, index), _around(value, index)
        return Finding(place, "exact", "the lowering", error, index, *around)


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
