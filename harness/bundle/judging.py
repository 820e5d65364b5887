"""Judge what became of a bundle: needs numpy alone, on any machine, under any budget."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

from harness.asr import Transcriber
from harness.budget import Budget, LocalAllowance, budget_of
from harness.bundle.contents import Bundle
from harness.bundle.observing import BundleObservation
from harness.compare import Verdict
from harness.errors import InputError, in_a_sentence
from harness.files import read_file
from harness.localize.steps import MOST, link_of, of_step, read_steps
from harness.methods import select_methods
from harness.parity import facts
from harness.parity.check import Checked
from harness.parity.check import report as report_run
from harness.parity.judge import judge
from harness.parity.judges.golden import choose_golden
from harness.parity.next_command import name_next
from harness.parity.observation import LocalObservation
from harness.parity.plan import Plan, capacities
from harness.parity.request import Request
from harness.parity.words import judge_words
from harness.report import Localized, Report
from harness.report.finding import named
from harness.synthesis import Utterance

__all__ = ["judge_bundle", "read_budget", "report"]


def judge_bundle(
    bundle: Bundle,
    made: BundleObservation,
    *,
    budget: Budget | None = None,
    transcriber: Transcriber | None = None,
) -> Checked:
    """Every verdict that `check` would give, in the same order.

    Parameters
    ----------
    bundle, made
        What was run, and what became of it.
    budget
        What may differ; the bundle's own if not given.
    transcriber
        Listens to the speech, if there is any.

    Raises
    ------
    InputError
        The observation is not of cases that the bundle has.
    """
    plan, observation = bundle.plan, made.observation
    budget = bundle.budget if budget is None else budget
    kept = {golden.key: golden for golden in bundle.references.goldens}
    try:
        verdicts = judge(
            plan, bundle.evidence, bundle.artifacts, observation,
            golden=choose_golden(plan, observation.executor, kept.get),
            pins=bundle.references.pins,
            budget=budget,
        )  # fmt: skip
        if observation.speech is not None:
            anchor = bundle.references.anchor
            verdicts += judge_words(plan, observation.speech.first, transcriber, anchor)
        verdicts = facts.name_disputes(plan, verdicts)
        verdicts, findings = _explained(bundle, made, verdicts, budget)
        request = _request(plan, observation.executor.executor)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "bundle and observation do not fit each other, whatever their checksums say: "
            f"{in_a_sentence(error)}; pack and run again"
        ) from error
    if request is not None:
        verdicts = name_next(request, verdicts)
    return Checked(plan, bundle.evidence, bundle.artifacts, observation, verdicts, findings)


def _explained(
    bundle: Bundle, made: BundleObservation, verdicts: Sequence[Verdict], budget: Budget
) -> tuple[tuple[Verdict, ...], tuple[Localized, ...]]:
    """The verdicts, the first on each broken link with the nodes behind it, and these."""
    told, findings = [], list[Localized]()
    seen: set[tuple[str, str]] = set()
    local = made.observation.local
    for verdict in verdicts:
        found: list[Localized] = []
        subject = verdict.subject
        shows = subject in local or subject not in made.observation.cases
        shows = shows and subject not in made.tapped
        shows = shows or bundle.plan.lowering != "mlx"
        link = link_of(verdict, verdicts, shows=shows)
        if link and (subject, link) not in seen:
            seen.add((subject, link))
            if link == "exact":
                found = [one for one in bundle.references.wrong if one.method == subject]
            elif shows:
                found = _wrong_steps(bundle, subject, local[subject], budget.local)
            elif subject in made.tapped:
                found = [made.tapped[subject]]
            else:
                verdict = _unnamed(bundle, verdict)
        told.append(named(verdict, found))
        findings += found
    return tuple(told), tuple(findings)


def _unnamed(bundle: Bundle, verdict: Verdict) -> Verdict:
    """A red verdict on outputs of an executor that shows nothing else, and why no node is named."""
    subject = verdict.subject
    program = bundle.tapped.get(subject)
    if bundle.plan.given:
        why = "what ran it shows no values, and the graph of a file that others exported is unknown"
    elif program is None:
        why = (
            "what ran it shows no values, and the bundle has no tapped programs. `voxtral-parity "
            "bundle pack --taps` packs them; `voxtral-parity check "
            f"{subject} --executor native` names the node without, where checkpoint and Mac are"
        )
    elif program.failure:
        why = f"the method could not be lowered with taps when it was packed ({program.failure})"
    else:
        why = (
            "its tapped program was not run, since the outputs of its cases, each by itself, were "
            "within what the bundle allows, or came as files"
        )
    note = f"No node is named: {why}."
    return dataclasses.replace(verdict, notes=(*verdict.notes, note))


def _request(plan: Plan, executor: str) -> Request | None:
    """What asks for the same programs where a checkout is; None where they cannot be made there."""
    if plan.preset is None or plan.given:
        return None
    usual = capacities(plan.preset)
    seq_len, frames = plan.sizes.max_seq_len, plan.sizes.max_codec_frames
    return Request(
        checkpoint=plan.preset,
        precision=plan.precision,
        executor=executor if executor in ("native", "xnnpack") else "auto",
        max_seq_len=None if seq_len == usual[0] else seq_len,
        max_codec_frames=None if frames == usual[1] else frames,
        codec_form=plan.codec_form,
        without=plan.without,
        utterance=Utterance() if plan.usual else plan.utterance,
        semantics=plan.semantics.name,
    )


_NOT_REPLACED = (
    "Each step was judged on the inputs that it had, with its own float64 value beside it; nothing "
    "was replaced, since the executor is not here any more."
)


def _wrong_steps(
    bundle: Bundle, name: str, seen: LocalObservation, allowance: LocalAllowance
) -> list[Localized]:
    """The steps of one method that do not compute what they mean, the first of them in full."""
    (method,) = select_methods((name,))
    steps = seen.wrong(allowance)
    if not steps:
        return []  # it is red for another reason
    names, _ = read_steps(bundle.artifacts.paths[method.artifact], method.entry)
    findings = tuple(of_step(step.worst, names, allowance) for step in steps[:MOST])
    first = steps[0]
    return [Localized(name, first.case, first.call, findings, False, _NOT_REPLACED)]


def read_budget(path: Path) -> Budget:
    """A budget from a file in the form of ``ledger.json``; `InputError` if it is none."""
    text = read_file(path, "budget").decode("utf-8", "replace")
    return budget_of(text, f"the budget {path}")


def report(
    bundle: Bundle,
    made: BundleObservation,
    checked: Checked,
    started: datetime.datetime,
    command: str = "",
) -> Report:
    """The report of a judgement that began at `started` (UTC): of which bundle, observed when."""
    by = made.versions.get("voxtral-parity", "") if made.observed else ""
    facts = dataclasses.replace(bundle.facts, observed=made.observed, observed_by=by)
    return dataclasses.replace(report_run(checked, started, command), bundle=facts)
