"""The modules of eager in float64, beside the same modules of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from harness.arrays import Array
from harness.compare.metrics import difference
from harness.localize.exact import Trace
from harness.pte.names import StepNames
from harness.reference.eager import EagerModel
from harness.report.finding import Finding, Place
from harness.runtime.portable.method import Location

__all__ = ["first_wrong_module", "module_values"]


def module_values(
    twin: EagerModel, method: str, calls: Sequence[Sequence[Array]]
) -> list[tuple[str, Array]]:
    """What each module made in the last of some calls, innermost first, by its path."""
    found: list[tuple[str, Array]] = []
    handles = []

    def keep(path: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                found.append((path, output.numpy().copy()))

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
    modules: Sequence[tuple[str, Array]], names: StepNames, trace: Trace, allowed: float
) -> Finding | None:
    """The first module whose value a program has otherwise.

    Paths of the program's modules begin elsewhere than the model's: the longest common end tells.
    """
    last: dict[str, tuple[int, Location]] = {}
    for number, where in enumerate(trace.order):
        origin = names.origins.get(where)
        if origin is not None and origin.module:
            last[origin.module] = (number, where)
    for path, meant in modules:
        match = next((m for m in last if path.endswith(m) or m.endswith(path)), None)
        if not path or match is None:
            continue
        number, where = last[match]
        made = trace.values[where][0]
        if not isinstance(made, np.ndarray) or made.size != meant.size:
            continue
        error, index = difference(made.reshape(meant.shape), meant)
        if error > allowed:
            origin = names.origins[where]
            place = Place(number, trace.ops[where], origin.node or "", "", path, "", (meant.shape,))
            return Finding(place, "exact", "our wrapper of the module", error, index)
    return None
