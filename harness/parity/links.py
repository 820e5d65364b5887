"""Observe the two links: a program run in float64, and each step that an executor ran."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

import numpy as np

from harness.arrays import Array, to_bits
from harness.budget import LOCAL
from harness.methods import MODEL, Method
from harness.methods.cases import WIDE, Case
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import EXACT_FRAMES, SPEECH, CaseEvidence, Evidence
from harness.parity.observation import (
    CaseObservation,
    LocalObservation,
    Refusal,
    StepObservation,
)
from harness.parity.plan import Plan
from harness.parity.replay import guarded, observe_case
from harness.runtime.exact import ExactExecutor
from harness.runtime.protocol import Executor, StepError, Watchable
from harness.synthesis.frames import Decoder, Frames

__all__ = ["Watched", "observe_exact", "observe_local"]

_EXACT_CALLS, _EXACT_EDGE_CALLS = 14, 2
"""Calls that run in float64: of the speech one frame's flow steps, with and without condition."""

_LOCAL_CALLS = 2
"""Calls that are watched by default: of the speech, and one of the last case."""

_QUIET = 2.0**-10
"""What one call's values are multiplied with, so that the epsilon of a norm is felt."""


def observe_exact(
    plan: Plan,
    evidence: Evidence,
    artifacts: Artifacts,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, dict[str, CaseObservation]]:
    """What the methods of `plan` mean, computed in float64 from the artifacts alone.

    Of a plan that speaks, the first frames too: what the loop decides along eager's own codes.
    """
    found: dict[str, dict[str, CaseObservation]] = {}
    for name, file in artifacts.files.items():
        methods = [method for method in plan.selected if method.artifact == name]
        methods = [m for m in methods if file.facts is not None and m.entry in file.facts.methods]
        if not methods:
            continue
        progress(f"running {name} in float64")
        with closing(ExactExecutor()) as executor:
            executor.load(file.made.path)
            for method in methods:
                found[method.name] = _exact_method(plan, method, evidence, executor)
            if name == MODEL and plan.speaks and artifacts.whole and evidence.exact_own is not None:
                found[SPEECH] = {SPEECH: _exact_speech(plan, evidence, executor)}
    return found


def _exact_method(
    plan: Plan, method: Method, evidence: Evidence, executor: Executor
) -> dict[str, CaseObservation]:
    wanted = evidence.exact.get(method.name, {})
    found = {}
    for item in evidence.cases[method.name]:
        outputs = wanted.get(item.case.label, ())
        if outputs:
            most = _EXACT_CALLS if item.case.label == SPEECH else _EXACT_EDGE_CALLS
            case = item.case.first(min(len(outputs), most))
            found[item.case.label] = observe_case(plan, method, case, executor)
    return found


def _exact_speech(plan: Plan, evidence: Evidence, executor: Executor) -> CaseObservation:
    """Acoustic values in levels, and how far each semantic code lies ahead, of the first frames."""
    decoder = Decoder(executor, dataclasses.replace(plan.limits, dtype="float32"), SPEECH)
    codes = evidence.speech.codes[:, :EXACT_FRAMES]
    frames = Frames(decoder, plan.config, evidence.prompt, plan.spoken, (codes, False))
    made = guarded(lambda: list(frames))
    if isinstance(made, Refusal):
        return CaseObservation(refusal=made)
    margins = np.array([choice.margin for choice in frames.choices], np.float32)
    return CaseObservation((np.array(frames.levels, np.float32).T, margins))


def observe_local(
    plan: Plan,
    method: Method,
    items: Iterable[CaseEvidence],
    executor: Watchable,
    outputs: Mapping[str, CaseObservation],
) -> LocalObservation:
    """Watch an executor make some calls of a method, or all.

    Parameters
    ----------
    plan, method
        What to run; `Plan.local_all` says how much of it.
    items
        Its cases.
    executor
        Has the artifact loaded.
    outputs
        What it made of the cases while nobody watched.
    """
    watched = _watched(plan, [item.case for item in items if item.outputs])
    found = guarded(lambda: _watch(method, watched, executor, outputs))
    return LocalObservation(refusal=found) if isinstance(found, Refusal) else found


def _watched(plan: Plan, cases: list[Case]) -> list[Case]:
    """The calls whose steps are judged: a step computes the same in each, but for its position."""
    if plan.local_all:
        return [*cases, *_quiet(cases[0])]
    if plan.sizes.dim >= WIDE:
        return [cases[0].first(1)]
    last = [case.first(1) for case in cases[1:][-1:]]
    return [cases[0].first(_LOCAL_CALLS), *last, *_quiet(cases[0])]


def _quiet(case: Case) -> list[Case]:
    """The shortest of the first calls with small values, if it takes any that are not whole."""
    call = min(case.calls[:_LOCAL_CALLS], key=lambda call: sum(value.size for value in call))
    quiet = tuple(
        value if value.dtype.kind in "iub" else value * value.dtype.type(_QUIET) for value in call
    )
    if all(value is before for value, before in zip(quiet, call, strict=True)):
        return []
    return [dataclasses.replace(case.first(1), label=f"{case.label}, quiet", calls=(quiet,))]


def _watch(
    method: Method,
    cases: Iterable[Case],
    executor: Watchable,
    outputs: Mapping[str, CaseObservation],
) -> LocalObservation:
    seen = Watched()
    for case in cases:
        for state in case.state_names:
            executor.reset(state)
        alone = outputs.get(case.label, CaseObservation()).outputs
        for number, (state, call) in enumerate(case.in_states()):
            made, steps = executor.watch(method.entry, call, state=state)
            before = alone[number : number + 1]
            seen.add(case.label, number, steps, zip(made, before, strict=False))
    return seen.found()


class Watched:
    """What was seen of the calls that an executor was watched in."""

    def __init__(self) -> None:
        self._worst: dict[int, StepObservation] = {}
        self._unjudged: dict[str, None] = {}
        self._changed: list[str] = []
        self._calls = 0

    def add(
        self,
        label: str,
        number: int,
        steps: Iterable[StepError],
        outputs: Iterable[tuple[Array, Array]],
    ) -> None:
        """Take the steps of call `number` of a case.

        `outputs` has what the call made, each beside what it makes while nobody watches.
        """
        self._calls += 1
        if not all(_same(*pair) for pair in outputs):
            self._changed.append(f"{label}, call {number}")
        for step in steps:
            if step.error is None:
                self._unjudged[f"step {step.step}, {step.op}"] = None
            else:
                _keep(self._worst, StepObservation(step, label, number, 1))

    def found(self) -> LocalObservation:
        """All of it."""
        steps = tuple(self._worst[step] for step in sorted(self._worst))
        return LocalObservation(steps, tuple(self._unjudged), self._calls, tuple(self._changed))


def _keep(worst: dict[int, StepObservation], seen: StepObservation) -> None:
    """Keep of each step the call in which it was furthest off."""
    before = worst.get(seen.worst.step)
    count = 1 if before is None else before.calls + 1
    if before is None or seen.worst.share(LOCAL) > before.worst.share(LOCAL):
        before = seen
    worst[seen.worst.step] = dataclasses.replace(before, calls=count)


def _same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(to_bits(a), to_bits(b), equal_nan=True)
