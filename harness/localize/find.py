"""Localise a method's mismatch: which node, whose fault, and the proof by replacement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from torch.export import ExportedProgram

from harness.arrays import Array
from harness.budget import Budget
from harness.compare import Status
from harness.compare.metrics import difference
from harness.errors import ExecutionError, InputError, one_of
from harness.export.programs import PROGRAMS
from harness.localize.exact import Exact
from harness.localize.graph import Graph
from harness.localize.modules import first_wrong_module, module_values
from harness.localize.steps import MOST, aligned, of_step, read_steps
from harness.localize.tapped import within
from harness.methods import CODEC, Method
from harness.parity.artifacts import Artifacts, export
from harness.parity.evidence import CaseEvidence, Evidence
from harness.parity.judges.contents import judge_constants
from harness.parity.plan import Plan
from harness.pte.names import StepNames
from harness.reference.models import Models
from harness.report.finding import Finding, Localized
from harness.runtime.exact import ExactExecutor
from harness.runtime.protocol import Executor, Watchable
from harness.upstream import quiet

__all__ = ["Line", "localize_exact", "localize_local"]


@dataclasses.dataclass(frozen=True)
class Line:
    """What a method is localised in: the values of one run, and the models behind them."""

    plan: Plan
    evidence: Evidence
    artifacts: Artifacts
    models: Models
    budget: Budget
    progress: Callable[[str], None] = lambda text: None
    _traced: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    def graph(self, method: Method) -> Graph:
        """What is lowered of a method, in float64 and from a fresh state."""
        if method.name not in self._traced:
            self.progress(f"tracing {method.name} anew")
            self._traced[method.name] = self.trace(method)
        with quiet():
            return Graph(self._traced[method.name])

    def trace(self, method: Method) -> ExportedProgram:
        """The program that is lowered of a method, made anew."""
        codec = method.artifact == CODEC
        form = {"form": self.plan.codec_form} if codec else {}
        with quiet():
            model = self.models.to_export(codec=codec)
            return PROGRAMS[method.name](model, self.plan.sizes, **form)

    def items(self, method: Method, label: str | None) -> list[CaseEvidence]:
        """The cases of a method, or one of them."""
        items = [item for item in self.evidence.cases[method.name] if item.outputs]
        if label is None:
            return items
        one_of("case", label, [item.case.label for item in items])
        return [item for item in items if item.case.label == label]


def localize_exact(line: Line, method: Method, label: str | None = None) -> Localized | None:
    """The nodes at which a program stops meaning what eager means; None where it means the same.

    Parameters
    ----------
    line, method
        What is localised.
    label
        Of the case to take; by default the first that goes wrong.
    """
    path = line.artifacts.paths[method.artifact]
    allowed = line.budget.exact.of_scale
    with closing(ExactExecutor()) as executor:
        executor.load(path)
        wrong = _first_wrong(line, method, label, executor)
        if wrong is None:
            return None
        case, number, calls, meant = wrong
        names = _names(line, method)
        search = Exact(method.entry, names, executor, line.graph(method))
        line.progress(f"comparing {method.name} node by node in float64")
        findings, proved, along = search.find(
            calls, lambda made: difference(made[0], meant)[0], allowed
        )
        if not findings:
            modules = module_values(line.models.exact, method.name, calls)
            _, trace = search.run(calls, {})
            found = first_wrong_module(modules, search.graph, names, trace, allowed)
            findings = [] if found is None else [found]
            proof = (
                "Every node of the graph that was exported has the same value in the program, so "
                "that the program is lowered right: the graph is not eager's."
            )
            return Localized(method.name, case, number, tuple(findings), False, proof)
    findings = [_owned(line, method, finding) for finding in findings]
    proof = (
        "With the graph's float64 value in the place of each of these nodes, the program's output "
        f"{'equals' if proved else 'still differs from'} eager's in float64."
    )
    errors = tuple(float(f"{error:.3g}") for error in along.values())
    return Localized(
        method.name, case, number, tuple(findings), proved, proof, tuple(along), errors
    )


def localize_local(
    line: Line, method: Method, executor: Executor, label: str | None = None
) -> Localized | None:
    """The steps that an executor does not compute as they are meant; None where there is none.

    Raises
    ------
    InputError
        The executor does not let its values be seen.
    """
    if not isinstance(executor, Watchable):
        raise InputError(
            f"the executor {executor.fingerprint.executor} does not let its values be seen; "
            "localize with --executor portable"
        )
    for item in line.items(method, label):
        for state in item.case.state_names:
            executor.reset(state)
        for number, (state, call) in enumerate(item.case.in_states()):
            _, steps = executor.watch(method.entry, call, state=state)
            if any(step.share(line.budget.local) > 1.0 for step in steps):
                return _repaired(line, method, executor, item, number)
    return None


def _first_wrong(
    line: Line, method: Method, label: str | None, executor: ExactExecutor
) -> tuple[str, int, list[Sequence[Array]], Array] | None:
    """The first call whose output is not eager's, with the calls that its state comes from."""
    for item in line.items(method, label):
        meant = line.evidence.exact.get(method.name, {}).get(item.case.label, ())
        case = item.case.first(len(meant))
        states = list(case.in_states())
        for state in case.state_names:
            executor.reset(state)
        for number, ((state, call), wanted) in enumerate(zip(states, meant, strict=True)):
            try:
                (made,) = executor.call(method.entry, call, state=state)
            except ExecutionError:
                made = None
            if made is None or difference(made, wanted)[0] > line.budget.exact.of_scale:
                calls: list[Sequence[Array]] = [c for of, c in states[:number] if of == state]
                calls = [*calls, call] if method.stateful else [call]
                return item.case.label, number, calls, wanted
    return None


def _names(line: Line, method: Method) -> StepNames:
    """Names of a method's steps; in a file of others, those of our own export's like steps."""
    names, steps = read_steps(line.artifacts.paths[method.artifact], method.entry)
    if names.values and not line.plan.given:
        return names
    line.progress("exporting again, for the names of a right program's steps")
    own = export(dataclasses.replace(line.plan, given=False), line.models)
    others = aligned(*read_steps(own.paths[method.artifact], method.entry), steps)
    return others if len(others.values) >= len(names.values) / 2 else names


def _owned(line: Line, method: Method, finding: Finding) -> Finding:
    """A finding with its owner, and the left-out correction that cures it."""
    facts = line.artifacts.files[method.artifact].facts
    expected = line.evidence.constants["mlx"]
    if facts is not None and judge_constants(method, expected, facts).status is Status.FAIL:
        return dataclasses.replace(finding, owner="a weight in the file")
    if line.plan.given:  # whether its graph was wrong or the lowering of it, the file does not say
        return dataclasses.replace(finding, owner="the export that made the file")
    for name in line.plan.without:
        others = tuple(each for each in line.plan.without if each != name)
        cured = export(dataclasses.replace(line.plan, without=others), line.models)
        again = dataclasses.replace(line, artifacts=cured)
        with closing(ExactExecutor()) as executor:
            executor.load(cured.paths[method.artifact])
            if _first_wrong(again, method, None, executor) is None:
                return dataclasses.replace(finding, correction=name)
    return finding


def _repaired(
    line: Line, method: Method, executor: Executor, item: CaseEvidence, number: int
) -> Localized:
    """Repair the first wrong step, then the next, until none is left; then judge the output."""
    assert isinstance(executor, Watchable)
    names, _ = read_steps(line.artifacts.paths[method.artifact], method.entry)
    repair: list[int] = []
    findings: list[Finding] = []
    outputs: list[Array] = []
    while True:
        wrong = None
        outputs.clear()
        case = item.case.first(number + 1)
        for state in case.state_names:
            executor.reset(state)
        for state, inputs in case.in_states():
            (made,), steps = executor.watch(method.entry, inputs, state=state, repair=repair)
            outputs.append(made)
            others = (s for s in steps if s.step not in repair)
            bad = (s for s in others if s.share(line.budget.local) > 1.0)
            wrong = next(bad, None) if wrong is None else wrong
        if wrong is None or len(findings) == MOST:
            break
        repair.append(wrong.step)
        findings.append(of_step(wrong, names, line.budget.local))
    short = CaseEvidence(item.case, item.outputs[: len(outputs)])
    regime = executor.fingerprint.regime
    proved = wrong is None and within(line, method, short, outputs, regime)
    proof = (
        "With the float64 value, rounded, in the place of each of these steps, "
        + ("no other step is wrong" if wrong is None else "more steps are wrong")
        + f", and the output is {'within' if proved else 'outside of'} the method's allowance."
    )
    return Localized(method.name, item.case.label, number, tuple(findings), proved, proof)
