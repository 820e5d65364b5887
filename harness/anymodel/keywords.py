"""The order in which a file that was given takes keyword arguments."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from torch import Tensor
from torch.utils import _pytree as pytree

from harness.anymodel.flat import words_of
from harness.anymodel.model import Call, entry_of
from harness.errors import HarnessError
from harness.pte.coverage import called_graphs
from harness.pte.payload import Tid
from harness.pte.plan import DelegateCall
from harness.pte.program import Program, read_program

__all__ = ["as_in_file"]


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
    """
    try:
        with closing(read_program(path)) as program:
            places = _places(program)
    except HarnessError:
        return call  # who runs the file tells of it
    first: dict[str, int] = {}
    for key, value in call.kwargs.items():
        leaves, _ = pytree.tree_flatten_with_path({key: value})
        tensors = [at for at, leaf in leaves if isinstance(leaf, Tensor)]
        names = ["_".join(words_of(at)) for at in tensors]
        found = [places[name] for name in names if name in places]
        if tensors and not found:
            return call
        first[key] = min(found, default=-1)
    return Call(
        *call.args, **{key: call.kwargs[key] for key in sorted(first, key=first.__getitem__)}
    )


def _places(program: Program) -> dict[str, int]:
    """The number of each input of a method by its name in the delegates."""
    plan = program.plans.get(entry_of(tuple(program.plans)))
    if plan is None:
        return {}
    found: dict[str, int] = {}
    graphs = called_graphs(program, plan)
    for step in plan.instructions:
        if not isinstance(step, DelegateCall) or step.delegate not in graphs:
            continue
        graph = graphs[step.delegate]
        for value, slot in zip(step.args, graph.inputs, strict=False):
            if value in plan.inputs and isinstance(slot, Tid) and slot.idx in graph.names:
                name = graph.names[slot.idx].rpartition("/")[2]
                found[name] = plan.inputs.index(value)
    return found
