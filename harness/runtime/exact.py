"""The exact executor: a `.pte` run wholly in float64, weights widened exactly.

It says what a program means, whatever its precision: nothing is rounded, so that a program that
was lowered right differs from eager in float64 by nothing to speak of. The portable executor's
walk of the plan is used as it is, over a plan whose tensors are all of float64.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.arrays import Array
from harness.fingerprint import Fingerprint, installed_versions
from harness.float64.delegate import Float64Delegate
from harness.float64.slots import is_float, widened
from harness.pte.coverage import called_graphs
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import Plan, TensorValue, Value
from harness.pte.program import Program, read_program
from harness.runtime.portable.memory import contents
from harness.runtime.portable.method import Method, Observer, refuse_other_backends
from harness.runtime.portable.opened import Opened

__all__ = ["ExactExecutor"]

_FLOAT64 = next(s.number for s in SCALAR_TYPES.values() if s.name == "float64")
_WIDER = 4
"""How many times as many bytes a bfloat16 takes in float64; planned memory grows by as much."""


class ExactExecutor(Opened):
    """Runs `.pte` files in float64; implements `harness.runtime.protocol.Executor`.

    Inputs of floating point may be of any type and are widened; outputs are float64.
    """

    @property
    def fingerprint(self) -> Fingerprint:
        """Which executor this is."""
        return Fingerprint(
            executor="exact",
            device=f"cpu ({platform.system()} {platform.machine()})",
            versions=installed_versions("executorch", "numpy"),
            regime="float64",
        )

    def regime(self) -> None:
        """None: nothing is rounded."""

    def load(self, path: Path, data: Sequence[Path] = ()) -> None:
        """Open a `.pte`, as the portable executor does."""
        self.close()
        self._program = read_program(path, data)

    def call(
        self,
        method: str,
        inputs: Sequence[Array],
        *,
        state: str = "default",
        observer: Observer | None = None,
    ) -> list[Array]:
        """Run `method` once and return its outputs."""
        ready = self.prepare(method)
        kept = self._state(state, method, ready)
        return ready.call([widened(value) for value in inputs], kept, observer)

    def prepare(self, method: str) -> Method:
        """Read a method in; its first call does so otherwise."""
        plan, program = self._plan(method), self._loaded()
        if method not in self._methods:
            graphs = called_graphs(program, plan)
            refuse_other_backends(plan, graphs)
            delegates = {i: Float64Delegate.load(program, graph) for i, graph in graphs.items()}
            self._methods[method] = Method.load(program, _widened_plan(program, plan), delegates)
        return self._methods[method]


def _widened_plan(program: Program, plan: Plan) -> Plan:
    """The same plan with every tensor of floating point in float64."""
    return dataclasses.replace(
        plan,
        values=tuple(_widened_value(program, value) for value in plan.values),
        arenas=tuple(size * _WIDER for size in plan.arenas),
    )


def _widened_value(program: Program, value: Value) -> Value:
    if not isinstance(value, TensorValue):
        return value
    place = value.place
    if place is not None:
        value = dataclasses.replace(
            value, place=dataclasses.replace(place, offset=place.offset * _WIDER)
        )
    if not is_float(SCALAR_TYPES[value.scalar_type].numpy):
        return value
    data = value.data
    if data is not None:
        # In the layout of the file, which `contents` undoes.
        stored = contents(program, value).transpose(value.dim_order)
        data = np.ascontiguousarray(widened(stored)).tobytes()
    return dataclasses.replace(value, scalar_type=_FLOAT64, data=data)
