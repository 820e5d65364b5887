"""Name the wrong node of an executor that shows nothing but outputs, as ExecuTorch's own runtime.

The method is lowered again with upstream's taps, so that the value of each node is an output. The
portable executor then goes along with these values, and each step is judged on the inputs that it
really had, as the local link judges what shows its values.

To look changes the program. Where it is right once its values are outputs, it is cut short
instead, without a tap: first by halves, then from a wrong node to what it takes, until the program
that ends at the node is wrong and those that end at what it takes are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from harness.compare.metrics import difference
from harness.errors import InputError, UnsupportedError, in_a_sentence
from harness.export.lower import lower_to_mlx
from harness.export.taps import cut_after, tapped, writes_into_buffer
from harness.fingerprint import Regime, name_of
from harness.float64.rules import roundoff
from harness.localize.find import Line
from harness.localize.graph import Graph
from harness.localize.steps import placed, read_steps
from harness.localize.tapped import VANISHED, Off, portable, through_taps, up_to_wrong, within
from harness.methods import Method
from harness.parity.evidence import CaseEvidence
from harness.pte.names import StepNames
from harness.report.finding import EXECUTOR, Finding, Localized, Place
from harness.runtime.protocol import Executor

__all__ = ["Tappable", "localize_tapped", "look_into", "tappable"]

_SAME = 8
"""Times what the portable executor is off at a node by which another may be. A guess, which only
steers the search among cut programs: the verdict that is explained does not depend on it."""


@dataclasses.dataclass(frozen=True)
class Tappable(Off):
    """A program that is off on some executor, and all that looking into it takes.

    Attributes
    ----------
    trace
        Makes the exported program anew: what is looked into is changed.
    graph
        The same in float64.
    names
        What the export says of the program's steps.
    without
        Corrections that were left out of the lowering.
    progress
        As of the run.
    """

    trace: Callable[[], ExportedProgram]
    graph: Callable[[], Graph]
    names: StepNames
    without: tuple[str, ...] = ()
    progress: Callable[[str], None] = lambda text: None


def localize_tapped(
    line: Line, method: Method, executor: Executor, label: str | None = None
) -> Localized | None:
    """The nodes that an executor which shows only outputs computes wrong; None where it is right.

    Parameters
    ----------
    line, method
        What is localised.
    executor
        It is given other programs than the one in question, and keeps the last.
    label
        Of the case to take; by default the first that goes wrong.

    Raises
    ------
    InputError
        Somebody else made the file: its graph is not known, so nothing in it can be tapped.
    """
    if line.plan.given:
        raise InputError(
            "the values of a file that others exported cannot be tapped: its graph is not known; "
            "localize with --executor portable"
        )
    executor.load(line.artifacts.paths[method.artifact])
    regime = executor.regime()
    item = _wrong_case(line, method, executor, name_of(regime), label)
    return None if item is None else look_into(tappable(line, method, item), executor, regime)


def tappable(line: Line, method: Method, item: CaseEvidence) -> Tappable:
    """A method that is off in a case, which ends with the call that makes it so."""
    names, _ = read_steps(line.artifacts.paths[method.artifact], method.entry)
    return Tappable(
        **vars(Off.of_method(line, method, item)),
        trace=partial(line.trace, method),
        graph=partial(line.graph, method),
        names=names,
        without=line.plan.without,
        progress=line.progress,
    )


def look_into(what: Tappable, executor: Executor, regime: Regime | None) -> Localized:
    """The nodes that an executor computes wrong, through taps; where these change it, by cuts."""
    with TemporaryDirectory() as folder:
        search = _Search(what, executor, regime, Path(folder))
        try:
            found, why = search.by_taps(), VANISHED
        except UnsupportedError as error:  # the taps' fault, not the program's
            found, why = None, f"{error}. "
        return found or search.by_cuts(why)


def _wrong_case(
    line: Line, method: Method, executor: Executor, regime: str, label: str | None
) -> CaseEvidence | None:
    """The first case that is off, up to the first call that makes it so."""
    for item in line.items(method, label):
        made = Off.of_method(line, method, item).run(executor)
        outputs = [outputs[0] for outputs in made]
        if not within(line, method, item, outputs, regime):
            return up_to_wrong(line, method, item, outputs, regime)
    return None


@dataclasses.dataclass(frozen=True)
class _Search:
    """Looks for the wrong node of one case, with programs in a folder of its own."""

    what: Tappable
    executor: Executor
    regime: Regime | None
    folder: Path

    def by_taps(self) -> Localized | None:
        """Every value is an output; None where every step, and what is returned, is right then."""
        program = self.what.trace()
        order = tapped(program, self.what.names.values)
        path = self._lowered(program, "tapped", taps=True)
        return through_taps(self.what, path, order, self.executor, self.regime)

    def by_cuts(self, why: str) -> Localized:
        """Taps show nothing, and `why` says why: cut the program short, by halves."""
        graph, calls, known = self.what.graph(), self.what.calls, self.what.names
        for _, call in (pair for pair in calls if pair[0] == calls[-1][0]):
            meant = graph.call(call)
        names = tuple(
            name
            for name in known.values
            if isinstance(meant.get(name), Tensor) and not writes_into_buffer(graph.nodes[name])
        )
        last = self._among(_taken(graph.returning, names), meant)
        if last is None:
            return self.what.told([], False, why + _NOWHERE)
        right, off = -1, names.index(last.place.node)
        while off - right > 1:
            middle = (right + off) // 2
            found = self._off_at(names[middle], meant)
            right, off, last = (middle, off, last) if found is None else (right, middle, found)
        # The node before may be of another branch: what counts is what this one takes.
        while found := self._among(_taken(graph.nodes[last.place.node], names), meant):
            last = found
        finding = dataclasses.replace(last, place=placed(last.place, known))
        return self.what.told([finding], False, why + _CUT)

    def _among(self, names: Sequence[str], meant: Mapping[str, Any]) -> Finding | None:
        """The first of some nodes that is off."""
        return next((found for name in names if (found := self._off_at(name, meant))), None)

    def _off_at(self, name: str, meant: Mapping[str, Any]) -> Finding | None:
        """What is wrong with the program that ends at a node; None where it is right."""
        program = self.what.trace()
        cut_after(program, name)
        path = self._lowered(program, "cut")
        wanted = meant[name].numpy()
        self.executor.load(path)
        made = self.what.run(self.executor)[-1][-1]
        with closing(portable()) as judge:
            judge.load(path)
            beside = self.what.run(judge)[-1][-1]
            step = judge.probe(self.what.entry).step(name)
        error, index = difference(made, wanted)
        usual = max(difference(beside, wanted)[0], roundoff(made.dtype.name))
        if error <= _SAME * usual:
            return None
        place = Place(step.index, step.op, name, "", step.module, "", (made.shape,))
        values = ((float(made[index]),), (float(wanted[index]),)) if index else ((), ())
        return Finding(place, "local", EXECUTOR, error / (_SAME * usual), index, *values)

    def _lowered(self, program: Any, name: str, *, taps: bool = False) -> Path:
        what = self.what
        what.progress(f"lowering {what.subject} again, {name}")
        path = self.folder / f"{name}.pte"
        try:
            lower_to_mlx({what.entry: program}, {}, path, without=what.without, taps=taps)
        except Exception as error:
            text = f"The program cannot be lowered {name} ({in_a_sentence(error)})"
            raise UnsupportedError(text) from error
        return path


_CUT = (
    "So the program was cut short, without a tap: the one that ends at this node is wrong, those "
    "that end at what it takes are right."
)
_NOWHERE = "The programs that end at what it returns are right, too: no node could be named."


def _taken(node: Node, names: Collection[str]) -> list[str]:
    """The nearest of the named nodes that a node takes, in the order of the graph."""
    found: dict[str, None] = {}
    for own in node.all_input_nodes:
        found |= dict.fromkeys([own.name] if own.name in names else _taken(own, names))
    return list(found)
