"""The order in which a file that was given takes keyword arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from harness.anymodel.flat import tensors_of
from harness.anymodel.model import Call, entry_of
from harness.errors import HarnessError, InputError
from harness.pte.coverage import called_graphs
from harness.pte.payload import Tid
from harness.pte.plan import DelegateCall, TensorValue
from harness.pte.program import Program, read_program

__all__ = ["as_in_file"]

_Named = tuple[str, Tensor]
"""A tensor, and the name that `torch.export` gives its input."""


def as_in_file(call: Call, path: Path) -> Call:
    """`call` with its keywords in the order of a file's inputs, as far as their names are told.

    `torch.export` keeps keywords in the order in which the exported call gave them, and names each
    input after its keyword. A delegate keeps these names. Where one is not known, because no
    delegate takes that input, the order stays as it is.

    Parameters
    ----------
    call
        The example call.
    path
        The file.

    Raises
    ------
    InputError
        Inputs of several keywords have the same name, so that more than one order is possible.
    """
    try:
        with closing(read_program(path)) as program:
            inputs = _inputs(program)
    except HarnessError:
        return call  # who runs the file tells of it
    tensors = {key: _named(key, value) for key, value in call.kwargs.items()}
    fixed = [key for key in tensors if not tensors[key]]
    first = len(tensors_of(Call(*call.args)))
    orders = _orders(inputs, first, {key: named for key, named in tensors.items() if named})
    if len(orders) > 1:
        alike = [key for key, other in zip(*orders, strict=True) if key != other]
        raise InputError(
            f"{path.name} does not tell the order of the keywords {', '.join(sorted(alike))}, as "
            "torch.export names their inputs alike: pass the torch.export.ExportedProgram that the "
            "file was made from in the place of the module, or give them other names"
        )
    order = (*fixed, *orders[0]) if orders else tuple(tensors)
    return Call(*call.args, **{key: call.kwargs[key] for key in order})


@dataclass(frozen=True)
class _Input:
    """A tensor that a method takes; `name` is empty where no delegate takes it."""

    name: str
    value: TensorValue


def _orders(
    inputs: Sequence[_Input], first: int, tensors: Mapping[str, Sequence[_Named]]
) -> tuple[tuple[str, ...], ...]:
    """The orders of keywords that fit a file's inputs, two at most.

    Parameters
    ----------
    inputs
        What the method takes.
    first
        The number of the first input that is a keyword's.
    tensors
        Those of each keyword. None fits where one has no input of its name.
    """
    known = {one.name for one in inputs[first:]}
    others = [one.name for one in inputs[:first]]
    others += [name for named in tensors.values() for name, _ in named]
    shared = {name for name in others if sum(_is(name, other) for other in others) > 1}

    def fits(named: _Named, at: int) -> bool:
        name, tensor = named
        if at >= len(inputs) or not inputs[at].value.takes(tensor.shape):
            return False
        told = inputs[at].name
        if name in shared:
            return not told or _is(told, name)
        return told == name or (not told and name not in known)

    @cache
    def of(left: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        if not left:
            return ((),)
        at = first + sum(len(named) for key, named in tensors.items() if key not in left)
        found: list[tuple[str, ...]] = []
        for key in left:
            if all(fits(named, at + number) for number, named in enumerate(tensors[key])):
                rest = of(tuple(other for other in left if other != key))
                found += [(key, *order) for order in rest]
        return tuple(found[:2])

    if all(any(_is(told, n) for n, _ in named for told in known) for named in tensors.values()):
        return of(tuple(tensors))
    return ()


def _is(told: str, name: str) -> bool:
    """Whether an input has a name, or the same and the number that torch gives a second one."""
    return re.fullmatch(rf"{re.escape(name)}(_\d+)?", told) is not None


def _named(key: str, value: Any) -> list[_Named]:
    """The tensors of a keyword argument, each with the name that `torch.export` gives its input."""
    leaves, _ = pytree.tree_flatten_with_path({key: value})
    return [("_".join(map(_word, at)), leaf) for at, leaf in leaves if isinstance(leaf, Tensor)]


def _word(key: Any) -> str:
    if isinstance(key, pytree.MappingKey):
        return re.sub(r"[^a-zA-Z0-9]", "_", str(key.key)).lower()
    return str(key.idx if isinstance(key, pytree.SequenceKey) else key.name).lower()


def _inputs(program: Program) -> list[_Input]:
    """The tensors that a file's method takes, by their names in the delegates."""
    plan = program.plans.get(entry_of(tuple(program.plans)))
    if plan is None:
        return []
    names: dict[int, str] = {}
    graphs = called_graphs(program, plan)
    for step in plan.instructions:
        if not isinstance(step, DelegateCall) or step.delegate not in graphs:
            continue
        graph = graphs[step.delegate]
        for value, slot in zip(step.args, graph.inputs, strict=False):
            if value in plan.inputs and isinstance(slot, Tid) and slot.idx in graph.names:
                names[value] = graph.names[slot.idx].rpartition("/")[2]
    values = [(index, plan.values[index]) for index in plan.inputs]
    return [_Input(names.get(i, ""), v) for i, v in values if isinstance(v, TensorValue)]
