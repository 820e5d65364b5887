"""The modules of eager in float64, beside the same modules of a program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.arrays import Array
from harness.compare.metrics import difference
from harness.localize.exact import Trace
from harness.localize.graph import Graph
from harness.pte.names import StepNames
from harness.reference.eager import EagerModel
from harness.report.finding import Finding, Place
from harness.runtime.portable.method import Location

__all__ = ["ModuleValue", "first_wrong_module", "module_values"]


@dataclass(frozen=True)
class ModuleValue:
    """What a module, by its path, was given first and what it made."""

    path: str
    given: Array | None
    made: Array


def module_values(
    twin: EagerModel, method: str, calls: Sequence[Sequence[Array]]
) -> list[ModuleValue]:
    """What each module made in the last of some calls, innermost first, by its path."""
    found: list[ModuleValue] = []
    handles = []

    def keep(path: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                first = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else None
                given = None if first is None else first.numpy().copy()
                found.append(ModuleValue(path, given, output.numpy().copy()))

        return hook

    for path, module in twin.model.named_modules():
        handles.append(module.register_forward_hook(keep(path)))
    try:
        twin.reset()
        for call in calls:
            found.clear()
            twin.call(method, call)
    finally:
        for handle in handles:
            handle.remove()
        twin.reset()
    return found


def first_wrong_module(
    modules: Sequence[ModuleValue], graph: Graph, names: StepNames, trace: Trace, allowed: float
) -> Finding | None:
    """The first module whose value a program has otherwise.

    What it was given is compared, too: where that is wrong already, the module around it computes
    something else before it. Where all modules are right, it is what comes behind them. Paths of
    the program's modules begin elsewhere than the model's: the longest common end tells.
    """
    last: dict[str, tuple[int, Location]] = {}
    for number, where in enumerate(trace.order):
        origin = names.origins.get(where)
        path = "" if origin is None else origin.module or ""
        while path:  # what a module computes, those around it compute too
            last[path] = (number, where)
            path = path.rpartition(".")[0]
    for module in modules:
        path = module.path
        match = next((m for m in last if path.endswith(m) or m.endswith(path)), None)
        if not path or match is None:
            continue
        number, where = last[match]
        wrong = _differs(trace, where, module.made, allowed)
        if wrong is None:
            continue
        shape, before = module.made.shape, names.values.get(graph.given(match, names.values) or "")
        if before is not None and module.given is not None:
            source = Location(*before[0])
            earlier = _differs(trace, source, module.given, allowed)
            if earlier is not None and source in trace.order:
                number, where, wrong = trace.order.index(source), source, earlier
                path, shape = _around(path), module.given.shape
        origin = names.origins.get(where)
        node = "" if origin is None else origin.node or ""
        place = Place(number, trace.ops[where], node, "", path, "", (shape,))
        return Finding(place, "exact", "our wrapper of the module", *wrong)
    return _behind(names, trace)


def _around(path: str) -> str:
    """The module that calls another: a list of modules, ``blocks`` of ``blocks.0``, calls none."""
    outer, _, name = path.rpartition(".")
    return outer.rpartition(".")[0] if name.isdigit() else outer


def _behind(names: StepNames, trace: Trace) -> Finding | None:
    """The module that makes the output, where what all others make is right."""
    for number, where in reversed(list(enumerate(trace.order))):
        origin = names.origins.get(where)
        if origin is not None and origin.module:
            place = Place(number, trace.ops[where], origin.node or "", "", origin.module)
            return Finding(place, "exact", "our wrapper of the module", math.inf)
    return None


def _differs(
    trace: Trace, where: Location, meant: Array, allowed: float
) -> tuple[float, tuple[int, ...]] | None:
    """How far a step is from a module's value, and where; None where it is not, or not like it."""
    made = trace.values.get(where, (None,))[0]
    if not isinstance(made, np.ndarray) or made.size != meant.size:
        return None
    error, index = difference(made.reshape(meant.shape), meant)
    return (error, index) if error > allowed else None
