"""The line from a request to a report: resolve, record, export, observe, judge."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from harness.asr import Transcriber
from harness.budget import COMMITTED, Budget
from harness.checkpoint import Checkpoint, open_checkpoint
from harness.compare import Verdict
from harness.errors import InputError
from harness.export.control import control_template
from harness.memory import give_back_freed_memory
from harness.methods.cases import WIDE
from harness.parity import facts
from harness.parity.artifacts import Artifacts, export, open_artifacts
from harness.parity.attribution import attribute
from harness.parity.control import observe_control
from harness.parity.evidence import Evidence
from harness.parity.judge import judge
from harness.parity.judges.flips import first_flip, judge_flips
from harness.parity.judges.golden import find_golden
from harness.parity.judges.kernels import excused, judge_kernels
from harness.parity.judges.lowerings import judge_lowerings
from harness.parity.judges.pins import find_pins
from harness.parity.judges.speech import SUBJECT
from harness.parity.judges.values import refused
from harness.parity.links import observe_exact
from harness.parity.next_command import name_next
from harness.parity.observation import Observation, Refusal, Spoken
from harness.parity.observe import observe, say_once
from harness.parity.plan import Plan, resolve
from harness.parity.record import follow_codes, record
from harness.parity.replay import guarded
from harness.parity.request import RUNNER, Request
from harness.parity.runner import (
    RunnerProgram,
    check_runner_voice,
    observe_runner,
    runner_fingerprint,
)
from harness.parity.words import judge_words, published
from harness.reference.models import Models
from harness.report import Report
from harness.report.finding import Localized
from harness.runner import check_program
from harness.runtime.pair import ArtifactPair
from harness.runtime.protocol import Executor
from harness.runtime.select import choose, refuse_virtual
from harness.values import timestamp

__all__ = ["Checked", "check", "judged", "open_models", "report", "second_lowering"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Checked:
    """The five values of one run, and what was found behind its red links."""

    plan: Plan
    evidence: Evidence
    artifacts: Artifacts
    observation: Observation
    verdicts: tuple[Verdict, ...]
    findings: tuple[Localized, ...] = ()


def check(
    request: Request,
    progress: Progress = lambda text: None,
    *,
    budget: Budget = COMMITTED,
    models: Models | None = None,
) -> Checked:
    """Walk the whole line.

    Parameters
    ----------
    request
        What to judge, and with what.
    progress
        Called with one line a step.
    budget
        What may differ.
    models
        The eager models, for who needs them afterwards; made if not given.

    Raises
    ------
    HarnessError
        Nothing can be judged: bad input, or a component that this machine does not have.
    """
    if request.triangulate and "xnnpack" in (request.executor, request.require):
        raise InputError(
            "triangulation compares another executor with xnnpack; leave --executor xnnpack out"
        )
    if request.utterance.temperature > 0:
        raise InputError("parity is judged at temperature 0; leave the temperature out")
    transcriber = Transcriber.of(request.asr, request.asr_command)
    # What is not here is told before the work.
    if request.runner is None:
        with closing(_choose(request)) as executor:
            if not request.allow_virtual_gpu:
                refuse_virtual(executor)
    else:
        check_program(request.runner)
    if models is None:
        models = open_models(request, progress)
    checkpoint = models.checkpoint
    plan = resolve(request, checkpoint)
    if request.runner is not None:
        check_runner_voice(checkpoint, plan.utterance.voice)
    evidence = record(plan, models, fresh=request.fresh, progress=progress)
    if request.artifacts is None:
        artifacts = export(plan, models, fresh=request.fresh, progress=progress)
    else:
        artifacts = open_artifacts(plan, request.artifacts)
    if plan.sizes.dim >= WIDE:  # beside the models of the real size, the executor has no room
        models.release()
    observation = _observe(request, plan, checkpoint, evidence, artifacts, progress)
    # The runner has a loop of its own, which runs in no float64.
    silent = dataclasses.replace(plan, speaks=plan.speaks and request.runner is None)
    exact = observe_exact(silent, evidence, artifacts, progress)
    observation = dataclasses.replace(observation, exact=exact)
    if plan.sizes.dim >= WIDE:  # nor have these beside what it left
        give_back_freed_memory()
    if observation.speech is not None:
        first = observation.speech.first
        evidence = follow_codes(
            plan, evidence, models, first.codes, first.ended, fresh=request.fresh, progress=progress
        )
    progress("judging")
    checked = judged(plan, evidence, artifacts, observation, budget)
    verdicts = checked.verdicts
    if request.triangulate:
        second = second_lowering(checked, models, progress, budget)
        verdicts += tuple(one for one in second.verdicts if one.kind == "triangulation")
    if observation.speech is not None:
        first = observation.speech.first
        if request.regime is not None:
            verdicts += (_flips(request.regime, checked, first, progress),)
        verdicts += judge_words(plan, first, transcriber, published(plan))
    verdicts = name_next(request, facts.name_disputes(plan, verdicts))
    return dataclasses.replace(checked, verdicts=verdicts)


def judged(
    plan: Plan,
    evidence: Evidence,
    artifacts: Artifacts,
    observation: Observation,
    budget: Budget = COMMITTED,
) -> Checked:
    """Judge an observation beside the golden and the pins that are kept of its plan."""
    verdicts = judge(
        plan, evidence, artifacts, observation,
        golden=find_golden(plan, observation.executor), pins=find_pins(plan), budget=budget,
    )  # fmt: skip
    return Checked(plan, evidence, artifacts, observation, verdicts)


def second_lowering(
    checked: Checked, models: Models, progress: Progress, budget: Budget = COMMITTED
) -> Checked:
    """The same evidence on XNNPACK: every verdict on it, then whose fault each difference is.

    The latter are of kind ``"triangulation"``, and concern both lowerings.
    """
    plan = checked.plan.on_xnnpack()
    artifacts = export(plan, models, progress=progress)
    with _pair(artifacts, Request(executor="xnnpack"), progress) as run:
        observation = observe(plan, checked.evidence, artifacts, run, progress=progress)
    second = judged(plan, checked.evidence, artifacts, observation, budget)
    mlx = (checked.plan, checked.artifacts, checked.observation)
    faults = [
        judge_lowerings(method, checked.evidence, mlx, (plan, artifacts, observation), budget)
        for method in plan.selected
    ]
    if judge_kernels([plan.precision.float_type], checked.observation.executor):
        faults = excused(faults)
    return dataclasses.replace(second, verdicts=(*second.verdicts, *faults))


def report(checked: Checked, started: datetime.datetime, command: str = "") -> Report:
    """The report of a run that began at `started` (UTC)."""
    plan, artifacts = checked.plan, checked.artifacts
    return Report(
        tool_version=facts.tool_version(),
        started=timestamp(started),
        seconds=(datetime.datetime.now(datetime.UTC) - started).total_seconds(),
        command=command,
        checkpoint=dataclasses.replace(plan.checkpoint, notes=plan.notes),
        precision=plan.precision.name,
        executor=facts.executor_facts(plan, checked.observation),
        artifacts=tuple(facts.artifact_facts(file.made) for file in artifacts.files.values()),
        reference=facts.reference(plan, checked.verdicts),
        verdicts=checked.verdicts,
        findings=checked.findings,
    )


def open_models(request: Request, progress: Progress = lambda text: None) -> Models:
    """The eager models that evidence is recorded with and artifacts are exported from."""
    progress(f"opening checkpoint {request.checkpoint}")
    checkpoint = open_checkpoint(request.checkpoint, progress)
    plan = resolve(request, checkpoint)
    return Models(
        checkpoint,
        plan.precision,
        plan.sizes.max_seq_len,
        semantics=plan.semantics,
        fresh=request.fresh,
        progress=progress,
    )


def _observe(
    request: Request,
    plan: Plan,
    checkpoint: Checkpoint,
    evidence: Evidence,
    artifacts: Artifacts,
    progress: Progress,
) -> Observation:
    if request.executor == RUNNER:
        assert request.runner is not None
        fingerprint = runner_fingerprint(request.runner)
        runner = RunnerProgram(
            request.runner, plan, checkpoint, artifacts.paths, request.runner_timeout
        )
        return observe_runner(plan, artifacts, runner, fingerprint, progress)
    with _pair(artifacts, request, progress) as run:
        seen = observe(plan, evidence, artifacts, run, progress=progress)
        progress("measuring how exactly the executor multiplies")
        seen = dataclasses.replace(seen, executor=run.measured)
    if plan.lowering != "mlx":
        return seen
    progress("running a control")
    control = observe_control(control_template(), partial(_choose, request))
    return dataclasses.replace(seen, control=control)


def _pair(artifacts: Artifacts, request: Request, progress: Progress) -> ArtifactPair:
    return ArtifactPair(artifacts.paths, partial(_choose, request), progress)


def _choose(request: Request) -> Executor:
    return choose(request.executor, request.require, request.regime)


def _flips(regime: str, checked: Checked, emulated: Spoken, progress: Progress) -> Verdict:
    """The codes of the emulated regime beside those of the same programs without it."""
    progress("speaking without the emulation")
    plan, evidence, artifacts = checked.plan, checked.evidence, checked.artifacts
    with _pair(artifacts, Request(executor="portable"), progress) as run:
        said = guarded(lambda: say_once(plan, evidence, run))
    if isinstance(said, Refusal):
        return refused(SUBJECT, "without the emulation", said)
    verdict, flip = judge_flips(regime, emulated, said), first_flip(emulated, said)
    if flip is None:
        return verdict
    with _pair(artifacts, Request(regime=regime), progress) as run:
        found = guarded(lambda: attribute(plan, evidence, run, flip, progress))
    told = (found.reason,) if isinstance(found, Refusal) else found
    return dataclasses.replace(verdict, notes=(*verdict.notes[:1], *told, *verdict.notes[1:]))
