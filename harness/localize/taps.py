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
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from torch.fx import Node

from harness.arrays import Array
from harness.compare.metrics import difference
from harness.errors import InputError
from harness.export.lower import lower_to_mlx
from harness.export.taps import cut_after, tapped
from harness.fingerprint import UNMEASURED, Regime
from harness.float64.rules import roundoff
from harness.localize.find import Line, share, within
from harness.localize.steps import MOST, of_step, placed, read_steps
from harness.methods import Method
from harness.parity.evidence import CaseEvidence
from harness.pte.names import StepNames
from harness.report.finding import EXECUTOR, Finding, Localized, Place
from harness.runtime.protocol import Executor, StepError

__all__ = ["localize_tapped"]

_SAME = 8
"""Times what the portable executor is off at a node by which another may be. A guess, which only
steers the search among cut programs: the verdict that is explained does not depend on it."""


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
    item = _wrong_case(line, method, executor, _name(regime), label)
    if item is None:
        return None
    names, _ = read_steps(line.artifacts.paths[method.artifact], method.entry)
    with TemporaryDirectory() as folder:
        search = _Search(line, method, executor, regime, item, Path(folder))
        return search.by_taps(names.values) or search.by_cuts(names)


def _wrong_case(
    line: Line, method: Method, executor: Executor, regime: str, label: str | None
) -> CaseEvidence | None:
    """The first case that is off, up to the first call that makes it so."""
    for item in line.items(method, label):
        made = _run(method, executor, item)
        outputs = [outputs[0] for outputs in made]
        if not within(line, method, item, outputs, regime):
            for count in range(1, len(outputs) + 1):
                short = CaseEvidence(item.case.first(count), item.outputs[:count])
                if not within(line, method, short, outputs[:count], regime):
                    return short
            return item
    return None


def _name(regime: Regime | None) -> str:
    return UNMEASURED if regime is None else regime.name


def _run(method: Method, executor: Executor, item: CaseEvidence) -> list[list[Array]]:
    """All outputs of each call of a case."""
    for state in item.case.state_names:
        executor.reset(state)
    calls = item.case.in_states()
    return [executor.call(method.entry, call, state=state) for state, call in calls]


@dataclasses.dataclass(frozen=True)
class _Search:
    """Looks for the wrong node of one case, with programs in a folder of its own."""

    line: Line
    method: Method
    executor: Executor
    regime: Regime | None
    item: CaseEvidence
    folder: Path

    def by_taps(self, names: Mapping[str, Any]) -> Localized | None:
        """Every value is an output; None where the method is right then."""
        line, method = self.line, self.method
        program = line.trace(method)
        order = tapped(program, names)
        path = self._lowered(program, "tapped", taps=True)
        self.executor.load(path)
        made = _run(method, self.executor, self.item)
        own = [outputs[0] for outputs in made]
        if within(line, method, self.item, own, _name(self.regime)):
            return None
        places, _ = read_steps(path, method.entry)
        with closing(_portable()) as judge:
            judge.load(path)
            probe = judge.probe(method.entry)
            known = [(probe.step(name).index, places.values[name][1]) for name in order]
            values = [dict(zip(known, outputs[1:], strict=True)) for outputs in made]
            _, steps = self._along(judge, values)
            wrong = [step for step in steps if share(line, step) > 1.0][:MOST]
            if not wrong:
                return self._told([], False, _UNSEEN)
            first, repair = wrong[0].step, [step.step for step in wrong]
            before = [{at: v for at, v in call.items() if at[0] < first} for call in values]
            outputs, _ = self._along(judge, before, repair)
            proved = within(line, method, self.item, outputs, judge.fingerprint.regime)
        findings = [of_step(step, places, line.budget.local) for step in wrong]
        proof = (
            "Each step was judged on the inputs that it had on this executor, seen through taps. "
            "With these values up to the first wrong step, the float64 value, rounded, in the "
            "place of each wrong one, and the portable executor behind it, the output is "
            f"{'within' if proved else 'outside of'} the method's allowance."
        )
        return self._told(findings, proved, proof)

    def _along(
        self, judge: Any, values: Sequence[Mapping[tuple[int, int], Array]], repair: Any = ()
    ) -> tuple[list[Array], list[StepError]]:
        """The calls again along given values: outputs, and the steps of the first wrong call."""
        from harness.runtime.portable.local import Given

        outputs: list[Array] = []
        wrong: list[StepError] = []
        for state in self.item.case.state_names:
            judge.reset(state)
        for (state, call), given in zip(self.item.case.in_states(), values, strict=True):
            made, steps = judge.watch(
                self.method.entry, call, state=state, repair=repair, given=Given(given, self.regime)
            )
            outputs.append(made[0])
            if not wrong and any(share(self.line, step) > 1.0 for step in steps):
                wrong = [step for step in steps if step.op != "output"]
        return outputs, wrong

    def by_cuts(self, known: StepNames) -> Localized:
        """The program is right while it is looked at: cut it short, by halves."""
        graph, states = self.line.graph(self.method), list(self.item.case.in_states())
        for _, call in (pair for pair in states if pair[0] == states[-1][0]):
            meant = graph.call(call)
        names = tuple(name for name in known.values if isinstance(meant.get(name), Tensor))
        right, off = -1, len(names) - 1
        last = self._off_at(names[off], meant)
        if last is None:
            return self._told([], False, _VANISHED + _NOWHERE)
        while off - right > 1:
            middle = (right + off) // 2
            found = self._off_at(names[middle], meant)
            right, off, last = (middle, off, last) if found is None else (right, middle, found)
        # The node before may be of another branch: what counts is what this one takes.
        while found := self._among(_taken(graph.nodes[last.place.node], names), meant):
            last = found
        finding = dataclasses.replace(last, place=placed(last.place, known))
        return self._told([finding], False, _VANISHED + _CUT)

    def _among(self, names: Sequence[str], meant: Mapping[str, Any]) -> Finding | None:
        """The first of some nodes that is off."""
        return next((found for name in names if (found := self._off_at(name, meant))), None)

    def _off_at(self, name: str, meant: Mapping[str, Any]) -> Finding | None:
        """What is wrong with the program that ends at a node; None where it is right."""
        program = self.line.trace(self.method)
        cut_after(program, name)
        path = self._lowered(program, "cut")
        wanted = meant[name].numpy()
        self.executor.load(path)
        made = _run(self.method, self.executor, self.item)[-1][0]
        with closing(_portable()) as judge:
            judge.load(path)
            beside = _run(self.method, judge, self.item)[-1][0]
            step = judge.probe(self.method.entry).step(name)
        error, index = difference(made, wanted)
        usual = max(difference(beside, wanted)[0], roundoff(made.dtype.name))
        if error <= _SAME * usual:
            return None
        place = Place(step.index, step.op, name, "", step.module, "", (made.shape,))
        values = ((float(made[index]),), (float(wanted[index]),)) if index else ((), ())
        return Finding(place, "local", EXECUTOR, error / (_SAME * usual), index, *values)

    def _lowered(self, program: Any, name: str, *, taps: bool = False) -> Path:
        self.line.progress(f"lowering {self.method.name} again, {name}")
        path = self.folder / f"{name}.pte"
        without = self.line.plan.without
        lower_to_mlx({self.method.entry: program}, {}, path, without=without, taps=taps)
        return path

    def _told(self, findings: list[Finding], proved: bool, proof: str) -> Localized:
        number = len(self.item.outputs) - 1
        case = self.item.case.label
        return Localized(self.method.name, case, number, tuple(findings), proved, proof)


_VANISHED = (
    "The fault vanishes under observation: with the value of every node an output, this executor "
    "computes the method right. "
)
_UNSEEN = (
    "The value of every node was an output: each is right for the inputs that it had, and the "
    "method's output is off all the same. What is wrong is not a step, but a state between calls, "
    "or what is returned."
)
_CUT = (
    "So the program was cut short, without a tap: the one that ends at this node is wrong, those "
    "that end at what it takes are right."
)
_NOWHERE = "The program that ends at its last node is right, too: no node could be named."


def _taken(node: Node, names: Collection[str]) -> list[str]:
    """The nearest of the named nodes that a node takes, in the order of the graph."""
    found: dict[str, None] = {}
    for own in node.all_input_nodes:
        found |= dict.fromkeys([own.name] if own.name in names else _taken(own, names))
    return list(found)


def _portable() -> Any:
    from harness.runtime.portable import PortableExecutor

    return PortableExecutor()
