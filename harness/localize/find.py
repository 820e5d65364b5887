"""Localise a method's mismatch: which node, whose fault, and the proof by replacement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing

from harness.arrays import Array
from harness.budget import Budget
from harness.compare import Status
from harness.errors import InputError, one_of
from harness.export.programs import PROGRAMS
from harness.localize.exact import Exact, difference
from harness.localize.finding import Finding, Localized, Place
from harness.localize.graph import Graph
from harness.localize.modules import first_wrong_module, module_values
from harness.methods import CODEC, Method
from harness.parity.artifacts import Artifacts, export
from harness.parity.evidence import CaseEvidence, Evidence
from harness.parity.judges.contents import judge_constants
from harness.parity.judges.values import judge_outputs
from harness.parity.observation import CaseObservation
from harness.parity.plan import Plan
from harness.parity.replay import replay
from harness.pte.coverage import called_graphs
from harness.pte.names import StepNames, read_names
from harness.pte.payload import MLXGraph
from harness.pte.program import read_program
from harness.reference.models import Models
from harness.runtime.exact import ExactExecutor
from harness.runtime.protocol import Executor, StepError, Watchable
from harness.upstream import quiet

__all__ = ["Line", "localize_exact", "localize_local"]

_MOST = 12
"""Wrong steps after which a search ends."""


@dataclasses.dataclass(frozen=True)
class Line:
    """What a method is localised in: the values of one run, and the models behind them."""

    plan: Plan
    evidence: Evidence
    artifacts: Artifacts
    models: Models
    budget: Budget
    progress: Callable[[str], None] = lambda text: None

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
        line.progress(f"tracing {method.name} anew")
        with quiet():
            model = line.models.to_export(codec=method.artifact == CODEC)
            form = {"form": line.plan.codec_form} if method.artifact == CODEC else {}
            traced = PROGRAMS[method.name](model, line.plan.sizes, sources=True, **form)
        names = _names(line, method)
        search = Exact(method.entry, names, executor, Graph(traced))
        line.progress(f"comparing {method.name} node by node in float64")
        findings, proved = search.find(calls, meant, allowed)
        if not findings:
            modules = module_values(line.models.exact, method.name, calls)
            _, trace = search.run(calls, {})
            found = first_wrong_module(modules, names, trace, allowed)
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
    return Localized(method.name, case, number, tuple(findings), proved, proof)


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
        for number, (state, call) in enumerate(item.case.in_states()):
            if number == 0:
                for each in dict.fromkeys(s for s, _ in item.case.in_states()):
                    executor.reset(each)
            _, steps = executor.watch(method.entry, call, state=state)
            if any(_share(line, step) > 1.0 for step in steps):
                return _repaired(line, method, executor, item, number)
    return None


def _first_wrong(
    line: Line, method: Method, label: str | None, executor: ExactExecutor
) -> tuple[str, int, list[Sequence[Array]], Array] | None:
    """The first call whose output is not eager's, with the calls that its state comes from."""
    for item in line.items(method, label):
        meant = line.evidence.exact.get(method.name, {}).get(item.case.label, ())
        case = dataclasses.replace(
            item.case,
            calls=item.case.calls[: len(meant)],
            states=item.case.states[: len(meant)],
        )
        outputs = replay(method, case, line.plan, executor)
        for number, pair in enumerate(zip(outputs, meant, strict=True)):
            if difference(*pair)[0] > line.budget.exact.of_scale:
                states = list(case.in_states())
                own = states[number][0]
                calls = [call for state, call in states[: number + 1] if state == own]
                calls = calls if method.stateful else calls[-1:]
                return item.case.label, number, list(calls), meant[number]
    return None


def _names(line: Line, method: Method) -> StepNames:
    """Names of a method's steps; of our own export of the same steps where a file has none."""
    names, own = _read(line.artifacts, method)
    if names.values:
        return names
    plan = dataclasses.replace(line.plan, given=False)
    line.progress("the file has no names; exporting it again for them")
    again, others = _read(export(plan, line.models), method)
    return again if _ops(own) == _ops(others) else names


def _read(artifacts: Artifacts, method: Method) -> tuple[StepNames, dict[int, MLXGraph]]:
    with closing(read_program(artifacts.paths[method.artifact])) as program:
        try:
            names = read_names(program).get(method.entry, StepNames())
        except InputError:
            names = StepNames()
        return names, called_graphs(program, program.plans[method.entry])


def _ops(graphs: dict[int, MLXGraph]) -> list[str]:
    return [type(node).__name__ for graph in graphs.values() for node in graph.chains[graph.main]]


def _owned(line: Line, method: Method, finding: Finding) -> Finding:
    """A finding with its owner, and the left-out correction that cures it."""
    facts = line.artifacts.files[method.artifact].facts
    expected = line.evidence.constants["mlx"]
    if facts is not None and judge_constants(method, expected, facts).status is Status.FAIL:
        return dataclasses.replace(finding, owner="a weight in the file")
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
    repair: list[int] = []
    findings: list[Finding] = []
    outputs: list[Array] = []
    while True:
        wrong = None
        outputs.clear()
        for state in dict.fromkeys(state for state, _ in item.case.in_states()):
            executor.reset(state)
        for call, (state, inputs) in enumerate(item.case.in_states()):
            if call > number:
                break
            (made,), steps = executor.watch(method.entry, inputs, state=state, repair=repair)
            outputs.append(made)
            bad = (s for s in steps if s.step not in repair and _share(line, s) > 1.0)
            wrong = next(bad, None) if wrong is None else wrong
        if wrong is None or len(findings) == _MOST:
            break
        repair.append(wrong.step)
        findings.append(_of_step(line, wrong))
    short = CaseEvidence(item.case, item.outputs[: len(outputs)])
    allowance = line.budget.of(
        line.plan.lowering,
        line.plan.precision.allowance,
        method.name,
        executor.fingerprint.regime,
    )
    verdict = judge_outputs(line.plan, method, short, CaseObservation(tuple(outputs)), allowance)
    proved = wrong is None and verdict.status is Status.PASS
    proof = (
        "With the float64 value, rounded, in the place of each of these steps, "
        + ("no other step is wrong" if wrong is None else "more steps are wrong")
        + f", and the output is {'within' if proved else 'outside of'} the method's allowance."
    )
    return Localized(method.name, item.case.label, number, tuple(findings), proved, proof)


def _of_step(line: Line, step: StepError) -> Finding:
    error = step.error
    assert error is not None
    place = Place(step.step, step.op, step.name, "", step.module, "", (error.shape,))
    return Finding(
        place, "local", "the executor or its kernel", _share(line, step), error.index,
        (error.made,), (error.meant,),
    )  # fmt: skip


def _share(line: Line, step: StepError) -> float:
    return 0.0 if step.error is None else step.error.share(line.budget.local)
