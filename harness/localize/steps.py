"""What an export's names say of the steps of a program: needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import closing
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from harness.budget import LocalAllowance
from harness.compare import Status, Verdict
from harness.errors import InputError
from harness.pte.coverage import called_graphs
from harness.pte.names import StepNames, read_names
from harness.pte.plan import DelegateCall
from harness.pte.program import read_program
from harness.report.finding import EXECUTOR, Finding, Place
from harness.runtime.portable.method import Location
from harness.runtime.protocol import StepError

__all__ = ["MOST", "aligned", "link_of", "of_step", "placed", "read_steps"]

_LINKS = {"exact": "exact", "local": "local", "execution": "exact"}
"""Kind of a verdict → the link along which its node is looked for: a program that refuses to run
does so in float64 too."""

_OUTPUTS = ("tensor", "waveform")
"""Kinds of a verdict on a method's outputs."""

MOST = 12
"""Wrong nodes, or steps, after which a search ends."""


def link_of(verdict: Verdict, verdicts: Sequence[Verdict], *, shows: bool) -> str:
    """Along which link the node behind a red verdict is looked for; empty where none shows it.

    Parameters
    ----------
    verdict, verdicts
        The verdict, and all of the run.
    shows
        Whether the executor lets its values be seen; else outputs that are off ask for a look.
    """
    if verdict.status is not Status.FAIL:
        return ""
    if shows or verdict.kind not in _OUTPUTS:
        return _LINKS.get(verdict.kind, "")
    means_another = any(
        other.subject == verdict.subject and other.kind == "exact" and other.status is Status.FAIL
        for other in verdicts
    )
    return "" if means_another else "local"


def of_step(step: StepError, names: StepNames, allowance: LocalAllowance) -> Finding:
    """What the local link says of a wrong step."""
    error = step.error
    assert error is not None
    place = Place(step.step, step.op, step.name, "", step.module, "", (error.shape,))
    return Finding(
        placed(place, names), "local", EXECUTOR, step.share(allowance), error.index,
        (error.made,), (error.meant,),
    )  # fmt: skip


def placed(place: Place, names: StepNames) -> Place:
    """A place with what is known of its node: operator, module, line of the model, shapes."""
    known = names.nodes.get(place.node)
    if known is None:
        return place
    module = known.module or place.module
    return dataclasses.replace(
        place, target=known.target, module=module, source=known.source, shapes=known.shapes
    )


def read_steps(path: Path, entry: str) -> tuple[StepNames, list[tuple[Location, str]]]:
    """A method's names, and its steps in the order run with their node types."""
    with closing(read_program(path)) as program:
        try:
            names = read_names(program).get(entry, StepNames())
        except InputError:
            names = StepNames()
        plan = program.plans[entry]
        graphs = called_graphs(program, plan)
    steps = [
        (Location(position, graphs[call.delegate].main, index), type(node).__name__)
        for position, call in enumerate(plan.instructions)
        if isinstance(call, DelegateCall) and call.delegate in graphs
        for index, node in enumerate(graphs[call.delegate].chains[graphs[call.delegate].main])
    ]
    return names, steps


def aligned(
    names: StepNames,
    own: list[tuple[Location, str]],
    others: list[tuple[Location, str]],
) -> StepNames:
    """The names of `own` steps, given to the steps of another program that stand in their places.

    Where the two differ in as many steps, they stand for each other: a wrong operator gets the name
    of the right one.
    """
    matcher = SequenceMatcher(None, [op for _, op in own], [op for _, op in others], autojunk=False)
    moved: dict[Any, Location] = {}
    for _, i, end, j, other_end in matcher.get_opcodes():
        if end - i == other_end - j:
            pairs = zip(own[i:end], others[j:other_end], strict=True)
            moved |= {tuple(here): there for (here, _), (there, _) in pairs}
    return StepNames(
        {moved[place]: origin for place, origin in names.origins.items() if place in moved},
        {
            name: (moved[place], output)
            for name, (place, output) in names.values.items()
            if place in moved
        },
        nodes=names.nodes,
    )
