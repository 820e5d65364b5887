"""From a red link of any model to the wrong node, its owner, its proof and a repro."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from harness.anymodel.counts import DECIDED
from harness.anymodel.judging import judge_case
from harness.anymodel.lowering import lower
from harness.anymodel.model import ENTRY, entry_of
from harness.anymodel.observing import Observed, Tensors, replayed, tensors_in
from harness.anymodel.recording import CaseRecord, Recorded, masked
from harness.anymodel.tracing import Traced
from harness.arrays import Array
from harness.budget import COMMITTED, Budget
from harness.compare import Status, Verdict
from harness.compare.metrics import difference
from harness.errors import HarnessError
from harness.export.taps import copied
from harness.fingerprint import Fingerprint, name_of
from harness.localize.exact import Exact
from harness.localize.graph import Graph
from harness.localize.repro import write_repros
from harness.localize.steps import MOST, aligned, of_step, placed, read_steps
from harness.localize.taps import Tappable, look_into
from harness.pte.names import StepNames
from harness.report.finding import Finding, Localized, Place, named
from harness.runtime.exact import ExactExecutor
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.method import Entered, Location
from harness.runtime.protocol import Executor, Watchable

__all__ = ["Search"]


@dataclass
class Search:
    """What a model's wrong nodes are looked for in.

    Attributes
    ----------
    traced, recorded, path
        The model, what it means, and its program.
    without
        Corrections that were left out of the lowering.
    choose
        Makes an executor like the one that was judged.
    budget
        What may differ.
    """

    traced: Traced
    recorded: Recorded
    path: Path
    without: tuple[str, ...]
    choose: Callable[[], Executor]
    budget: Budget = COMMITTED
    found: list[Localized] = field(default_factory=list)

    def explained(self, verdict: Verdict) -> Verdict:
        """A red verdict, with the node that is wrong and whose fault it is, where that is found.

        Integers that rounding may have decided are red where a node works in another type.
        """
        rounded = DECIDED in verdict.metrics
        looks = {
            "exact": self.exact,
            "local": self.local,
            "execution": lambda: self.refusing(verdict.summary),
            "tensor": lambda: self.typed() or (None if rounded else self.tapped),
        }
        if not (rounded or verdict.status is Status.FAIL) or verdict.kind not in looks:
            return verdict
        if verdict.kind == "tensor" and self.found:
            return verdict  # the link that broke says why
        try:
            one = looks[verdict.kind]()
        except HarnessError as error:  # the verdict stands, whoever can say more or not
            note = f"The node could not be found: {error}"
            return dataclasses.replace(verdict, notes=(*verdict.notes, note))
        if one is None:
            return verdict
        if rounded:
            verdict = dataclasses.replace(verdict, status=Status.FAIL, notes=verdict.notes[:-1])
        if not one.findings:
            notes = (*verdict.notes, one.proof)
            if self.traced.model.pte is None:
                return dataclasses.replace(verdict, notes=notes)
            metrics = {**verdict.metrics, "owner": "the export that made the file"}
            return dataclasses.replace(verdict, metrics=metrics, notes=notes)
        self.found.append(one)
        return named(verdict, [one])

    def repros(self, directory: Path) -> list[Path]:
        """Write a script and a test case for each wrong node that an operator alone shows."""
        findings = [finding for one in self.found for finding in one.findings]
        call = self.recorded.cases[0].inputs[0]
        return list(write_repros(self.graph, call, findings, self.without, directory))

    @property
    def graph(self) -> Graph:
        """The exported graph in float64, in its first state."""
        return Graph(self.traced.program)

    @cached_property
    def names(self) -> StepNames:
        """What the export says of the program's steps; for a file of others, our own export's."""
        with closing(ExactExecutor()) as executor:
            executor.load(self.path)
            entry = entry_of(executor.methods())
        names, steps = read_steps(self.path, entry)
        if names.values:
            return names
        made = lower(self.traced, self.without)
        if made.failures:
            return names
        return aligned(*read_steps(made.path, ENTRY), steps)

    def exact(self) -> Localized | None:
        """The nodes at which the program stops meaning what the graph means."""
        allowed = self.budget.exact.of_scale
        with closing(ExactExecutor()) as executor:
            executor.load(self.path)
            entry = entry_of(executor.methods())
            tensors = tensors_in(self.path, entry)
            wrong = self._first_wrong(executor, entry, tensors)
            if wrong is None:
                return None
            case, number = wrong
            search = Exact(entry, self.names, executor, self.graph)
            meant, masks = case.exact[number], case.masks[number]
            findings, proved, along = search.find(
                case.inputs[: number + 1], lambda made: _apart(tensors(made), meant, masks), allowed
            )
        findings = [self._owned(finding) for finding in findings]
        if findings:
            told = "equals" if proved else "still differs from"
            proof = (
                "With the graph's float64 value in the place of each of these nodes, the program's "
                f"output {told} what is meant."
            )
        else:
            proof = "Every node of the exported graph has the same value in the program."
        title = self.traced.model.title
        errors = tuple(float(f"{error:.3g}") for error in along.values())
        return Localized(
            title, case.label, number, tuple(findings), proved, proof, tuple(along), errors
        )

    def _first_wrong(
        self, executor: Executor, entry: str, tensors: Tensors
    ) -> tuple[CaseRecord, int] | None:
        for case in self.recorded.cases:
            outputs = replayed(executor, entry, case, tensors)
            for number, made in enumerate(outputs[: len(case.exact)]):
                apart = _apart(made, case.exact[number], case.masks[number])
                if not apart <= self.budget.exact.of_scale:
                    return case, number
        return None

    def _owned(self, finding: Finding) -> Finding:
        """A finding with its owner, and the left-out correction that cures it."""
        if self.traced.model.pte is not None:
            return dataclasses.replace(finding, owner="the export that made the file")
        for name in self.without:
            made = lower(self.traced, tuple(n for n in self.without if n != name))
            if made.failures:
                continue
            with closing(ExactExecutor()) as executor:
                executor.load(made.path)
                if self._first_wrong(executor, ENTRY, tensors_in(made.path, ENTRY)) is None:
                    return dataclasses.replace(finding, correction=name)
        return finding

    def local(self) -> Localized | None:
        """The steps that the executor does not compute as they are meant, repaired in turn."""
        executor = self.choose()
        with closing(executor):
            if not isinstance(executor, Watchable):
                return None
            executor.load(self.path)
            entry = entry_of(executor.methods())
            for case in self.recorded.cases:
                found = self._repaired(executor, entry, case)
                if found is not None:
                    return found
        return None

    def _repaired(self, executor: Executor, entry: str, case: CaseRecord) -> Localized | None:
        assert isinstance(executor, Watchable)
        repair: list[int] = []
        findings: list[Finding] = []
        while len(findings) < MOST:
            executor.reset()
            wrong = None
            for call in case.inputs:
                _, steps = executor.watch(entry, call, repair=repair)
                others = (s for s in steps if s.step not in repair)
                bad = (s for s in others if s.share(self.budget.local) > 1.0)
                wrong = wrong or next(bad, None)
            if wrong is None:
                break
            repair.append(wrong.step)
            findings.append(of_step(wrong, self.names, self.budget.local))
        if not findings:
            return None
        proved = wrong is None
        proof = "With the float64 value, rounded, in the place of each of these steps, " + (
            "no other step is wrong." if proved else "more steps are wrong."
        )
        return Localized(self.traced.model.title, case.label, 0, tuple(findings), proved, proof)

    def refusing(self, reason: str) -> Localized | None:
        """The node whose instruction a program that does not run refuses at, as it says itself."""
        told = re.findall(r"instruction (\d+) \((\w+)\)", reason)
        if not told:
            return None
        index, op = int(told[-1][0]), told[-1][1]
        places = [place for place in self.names.origins if place[1] is not None]
        found = [self._of_place(place, op) for place in places if place[2] == index]
        if len(found) != 1:
            return None
        proof = "The handler of this operator made what the runtime refuses."
        return Localized(self.traced.model.title, "", 0, tuple(found), False, proof)

    def typed(self) -> Localized | None:
        """The first step that works in another type than its node.

        Both links hold there: nothing is rounded in float64, and a step is judged in its own type.
        """
        found: dict[Location, str] = {}

        def observe(where: Location, what: Any, made: tuple[Any, ...]) -> None:
            if made and hasattr(made[0], "dtype") and not isinstance(what, Entered):
                found.setdefault(where, str(made[0].dtype).rsplit(".", 1)[-1])

        with closing(PortableExecutor()) as executor:
            executor.load(self.path)
            executor.call(
                entry_of(executor.methods()), self.recorded.cases[0].inputs[0], observer=observe
            )
        for where, dtype in found.items():
            wanted = self.names.types.get((where, 0))
            if wanted is None or wanted[0] == dtype:
                continue
            if not any("float" in name for name in (wanted[0], dtype)):
                continue  # which integers a step counts in is MLX's affair
            finding = self._of_place(where, f"works in {dtype}, meant is {wanted[0]}")
            proof = "Both links hold, for each of its values is right in the type that it has."
            return Localized(self.traced.model.title, "", 0, (finding,), False, proof)
        return None

    @cached_property
    def tapped(self) -> Localized | None:
        """The wrong step of an executor that shows nothing but outputs, as ExecuTorch's own.

        Every output that is off asks for it, and it takes many exports.
        """
        if self.traced.model.pte is not None:
            return None  # its graph is not known
        with closing(self.choose()) as executor:
            if isinstance(executor, Watchable):
                return None
            executor.load(self.path)
            regime = executor.regime()
            for case in self.recorded.cases:
                outputs = replayed(executor, ENTRY, case)
                for count in range(1, len(outputs) + 1):
                    if not self._within(case, outputs[:count], name_of(regime)):
                        return look_into(self._tappable(case, count), executor, regime)
        return None

    def _tappable(self, case: CaseRecord, count: int) -> Tappable:
        calls = [("default", call) for call in case.inputs[:count]]
        trace = partial(copied, self.traced.program)
        return Tappable(
            self.traced.model.title, ENTRY, case.label, calls, partial(self._within, case),
            self.budget, trace, lambda: self.graph, self.names, self.without,
        )  # fmt: skip

    def _within(self, case: CaseRecord, made: Sequence[Sequence[Array]], regime: str) -> bool:
        """Whether outputs of the first calls of a case are within what is allowed."""
        count = len(made)
        short = dataclasses.replace(
            case, inputs=case.inputs[:count], eager=case.eager[:count],
            exact=case.exact[:count], masks=case.masks[:count],
        )  # fmt: skip
        fingerprint = Fingerprint("", "", {}, regime=regime)
        tensors = tensors_in(self.path, ENTRY)
        observed = Observed(fingerprint, {case.label: tuple(map(tensors, made))}, {}, None)
        verdicts = judge_case(self.traced.model, short, self.recorded, observed, self.budget)
        return all(verdict.status is not Status.FAIL for verdict in verdicts)

    def _of_place(self, place: Any, op: str) -> Finding:
        origin = self.names.origins.get(place)
        node = "" if origin is None else origin.node or origin.edge
        where = Place(place[2] or 0, op, node, "", "" if origin is None else origin.module or "")
        return Finding(placed(where, self.names), "exact", "the lowering", math.inf)


def _apart(made: Sequence[Array], meant: Sequence[Array], masks: Sequence[Array | None]) -> float:
    if len(made) != len(meant):
        return math.inf
    pairs = zip(made, meant, masks, strict=True)
    return max((difference(masked(a, m), masked(b, m))[0] for a, b, m in pairs), default=0.0)
