"""What the module does with the calls: in its own precision, and without rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.anymodel.flat import run
from harness.anymodel.model import Call, Ignored
from harness.anymodel.tracing import Traced
from harness.anymodel.twin import exact_module, in_float64
from harness.arrays import Array, from_torch
from harness.budget import EXACT
from harness.compare.metrics import difference
from harness.errors import InputError, in_a_sentence
from harness.float64.slots import is_float
from harness.localize.graph import Graph, widened, with_own_buffers

__all__ = ["CaseRecord", "Outputs", "Recorded", "masked", "record"]

Outputs = tuple[Array, ...]
"""What one call makes: the inputs that it changed, then the tensors that it returns."""


@dataclass(frozen=True)
class CaseRecord:
    """One case: a sequence of calls from a fresh state.

    Attributes
    ----------
    label
        ``example`` or ``example 2``.
    inputs
        The arrays that each call of the program takes.
    eager
        What the module makes, a tuple a call.
    exact
        The same without rounding: floating point is float64.
    masks
        For each call and output, where elements do not matter; None: all matter.
    """

    label: str
    inputs: tuple[Outputs, ...]
    eager: tuple[Outputs, ...]
    exact: tuple[Outputs, ...]
    masks: tuple[tuple[Array | None, ...], ...]


@dataclass(frozen=True)
class Recorded:
    """What a program is compared with.

    Attributes
    ----------
    cases
        In order; the example first.
    names
        Of the outputs: empty where there is only one.
    captured
        The worst difference of the exported graph from the module, of the scale, in their own
        precision and in float64. Not a number where one of them does not run. Of a program that
        was given: what its floating point differs from itself in float64, and 0.
    twin
        What `CaseRecord.exact` was made by: ``"module"``, or ``"graph"`` where the module does
        something else in float64.
    trouble
        Why it does not run in float64; empty where it does.
    given
        Whether the program is the user's own, so that there is no module beside it.
    unseen
        Buffers that it changes, and no output shows.
    """

    cases: tuple[CaseRecord, ...]
    names: tuple[str, ...]
    captured: tuple[float, float]
    twin: str
    trouble: str = ""
    given: bool = False
    unseen: tuple[str, ...] = ()

    @property
    def inputs(self) -> Mapping[str, tuple[Outputs, ...]]:
        """Each case's inputs by its label."""
        return {case.label: case.inputs for case in self.cases}


def record(traced: Traced) -> Recorded:
    """Run the module, and the graph that was exported, on every call.

    Raises
    ------
    InputError
        The module itself cannot make a call.
    """
    try:
        eager, changed = _eager(traced)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # which a module may raise, too
        raise InputError(f"{traced.model.title} itself fails: {in_a_sentence(error)}") from error
    names = _names(traced, changed, eager[0][0])
    masks = [
        [
            _masks(traced.model.ignored, call, made, len(changed))
            for call, made in zip(calls, outputs, strict=True)
        ]
        for calls, outputs in zip(traced.calls, eager, strict=True)
    ]
    graph_exact = _tried(lambda: _exact_graph(traced, changed))
    if traced.given:
        own, module_exact = _apart(eager, graph_exact, masks, floats=True), graph_exact
    else:
        own = _apart(_tried(lambda: _graph(traced, changed)), eager, masks)
        module_exact = _tried(lambda: _exact_module(traced, changed))
    exact = _apart(graph_exact, module_exact, masks)
    # Code that asks for its type (`torch.finfo(x.dtype)`) does something else in float64. Where
    # the graph is the module, bit for bit, it tells what that means.
    by_graph = (
        traced.given
        or isinstance(module_exact, str)
        or (own == 0.0 and not exact <= EXACT.of_scale)
    )
    meant = graph_exact if by_graph else module_exact
    trouble = meant if isinstance(meant, str) else ""
    wide: Any = tuple(() for _ in eager) if isinstance(meant, str) else meant
    cases = tuple(
        CaseRecord(
            "example" if number == 0 else f"example {number + 1}",
            tuple(tuple(_array(t) for t in call) for call in traced.cases[number]),
            eager[number],
            wide[number],
            tuple(masks[number]),
        )
        for number in range(len(eager))
    )
    twin = "graph" if by_graph else "module"
    return Recorded(cases, names, (own, exact), twin, trouble, traced.given, traced.unseen)


Made = tuple[tuple[Outputs, ...], ...]


def _eager(traced: Traced) -> tuple[Made, list[int]]:
    changed: list[int] = []
    found: list[tuple[Outputs, ...]] = []
    for number, calls in enumerate(traced.cases):
        module = traced.fresh()
        outputs: list[Outputs] = []
        for index, tensors in enumerate(calls):
            own = [tensor.clone() for tensor in tensors]
            made, changed_here = run(module, own)
            if (found or outputs) and changed_here != changed:
                raise InputError(
                    f"call {index} of case {number} changes other inputs than the example call"
                )
            changed = changed_here
            outputs.append(tuple(map(_array, (*(own[i] for i in changed), *made))))
        found.append(tuple(outputs))
    if not any(call for case in found for call in case):
        raise InputError(f"{traced.model.title} returns no tensor, so there is nothing to compare")
    return tuple(found), changed


def _graph(traced: Traced, changed: list[int]) -> Made:
    """The exported graph in its own precision."""
    found = []
    for calls in traced.cases:
        module, outputs = with_own_buffers(traced.program.module(check_guards=False)), []
        for tensors in calls:
            own = [tensor.clone() for tensor in tensors]
            made, _ = run(module, own)
            outputs.append(tuple(map(_array, (*(own[i] for i in changed), *made))))
        found.append(tuple(outputs))
    return tuple(found)


def _exact_graph(traced: Traced, changed: list[int]) -> Made:
    found = []
    for calls in traced.cases:
        graph = Graph(traced.program)
        outputs = [graph.outputs([_array(t) for t in tensors], changed) for tensors in calls]
        found.append(tuple(outputs))
    return tuple(found)


def _exact_module(traced: Traced, changed: list[int]) -> Made:
    found = []
    for calls in traced.cases:
        module = exact_module(traced.fresh())
        outputs = []
        for tensors in calls:
            own = [widened(tensor.clone()) for tensor in tensors]
            with in_float64():
                made, _ = run(module, own)
            outputs.append(tuple(map(_array, (*(own[i] for i in changed), *made))))
        found.append(tuple(outputs))
    return tuple(found)


def _tried(work: Callable[[], Made]) -> Made | str:
    try:
        return work()
    except (Exception, SystemExit) as error:
        return in_a_sentence(error)


def _apart(made: Made | str, meant: Made | str, masks: Any, floats: bool = False) -> float:
    """The worst difference of the scale; infinite if one makes more, NaN if one did not run.

    With `floats`, only of what is floating point.
    """
    if isinstance(made, str) or isinstance(meant, str):
        return float("nan")
    triples = []
    for cases in zip(made, meant, masks, strict=True):
        for one, other, call_masks in zip(*cases, strict=True):
            if len(one) != len(other):
                return float("inf")
            triples += list(zip(one, other, call_masks, strict=False))
    return max(
        (
            difference(masked(a, mask), masked(b, mask))[0]
            for a, b, mask in triples
            if is_float(a.dtype) or not floats
        ),
        default=0.0,
    )


def masked(value: Array, mask: Array | None) -> Array:
    """`value` with 0 where elements do not matter."""
    if mask is None or mask.shape != value.shape:
        return value
    return np.where(mask, np.zeros((), value.dtype), value)


def _names(traced: Traced, changed: list[int], before: Outputs) -> tuple[str, ...]:
    """What the outputs are called; `before` are those of the same call, made earlier."""
    made = traced.fresh().named(traced.cases[0][0])
    again = zip(before[len(changed) :], (_array(tensor) for _, tensor in made), strict=True)
    if any(a.shape != b.shape or difference(a, b)[0] > 1e-3 for a, b in again):
        raise InputError(
            f"{traced.model.title} makes something else of the same call each time, so that "
            "nothing can be compared; give it no randomness"
        )
    names = [f"input {i} as it was left" for i in changed]
    names += [f"output {name}" for name, _ in made]
    return ("",) if len(names) == 1 else tuple(names)


def _masks(ignored: Any, call: Call, made: Outputs, skipped: int) -> tuple[Array | None, ...]:
    """Where elements of a call's outputs do not matter; the first `skipped` are changed inputs."""
    masks: list[Array | None] = [None] * len(made)
    for one in ignored:
        index = one.output + skipped
        if not 0 <= one.output < len(made) - skipped:
            raise InputError(
                f"Ignored names output {one.output}, and there are {len(made) - skipped}"
            )
        where = _mask(one, call, made[index].shape)
        masks[index] = where if masks[index] is None else masks[index] | where
    return tuple(masks)


def _mask(ignored: Ignored, call: Call, shape: tuple[int, ...]) -> Array:
    try:
        where = ignored.where(call) if callable(ignored.where) else ignored.where
        where = where.numpy() if isinstance(where, Tensor) else np.asarray(where)
    except (Exception, SystemExit) as error:
        raise InputError(f"Ignored.where itself fails: {in_a_sentence(error)}") from error
    if where.dtype != bool:
        raise InputError(f"Ignored.where must be boolean (got {where.dtype})")
    try:
        return np.broadcast_to(where, shape)
    except ValueError:
        raise InputError(
            f"Ignored.where has shape {where.shape}, which does not broadcast to output "
            f"{ignored.output} of shape {shape}"
        ) from None


def _array(tensor: Tensor) -> Array:
    with torch.no_grad():
        found = from_torch(tensor.detach())
    return np.array(found, order="C", copy=True)
