"""Judge what became of a bundle: needs numpy alone, on any machine, under any budget."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from harness.asr import Transcriber
from harness.budget import Budget, budget_of
from harness.bundle.contents import Bundle
from harness.bundle.observing import BundleObservation
from harness.errors import InputError, in_a_sentence
from harness.files import read_file
from harness.parity import facts
from harness.parity.check import Checked
from harness.parity.check import report as report_run
from harness.parity.judge import judge
from harness.parity.judges.golden import choose_golden
from harness.parity.words import judge_words
from harness.report import Report

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
    kept = {golden.key: golden for golden in bundle.references.goldens}
    try:
        verdicts = judge(
            plan, bundle.evidence, bundle.artifacts, observation,
            golden=choose_golden(plan, observation.executor, kept.get),
            pins=bundle.references.pins,
            budget=bundle.budget if budget is None else budget,
        )  # fmt: skip
        if observation.speech is not None:
            anchor = bundle.references.anchor
            verdicts += judge_words(plan, observation.speech.first, transcriber, anchor)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "bundle and observation do not fit each other, whatever their checksums say: "
            f"{in_a_sentence(error)}; pack and run again"
        ) from error
    verdicts = facts.name_disputes(plan, verdicts)
    return Checked(plan, bundle.evidence, bundle.artifacts, observation, verdicts)


def read_budget(path: Path) -> Budget:
    """A budget from a file in the form of ``ledger.json``; `InputError` if it is none."""
    text = read_file(path, "budget").decode("utf-8", "replace")
    return budget_of(text, f"the budget {path}")


def report(
    bundle: Bundle, checked: Checked, started: datetime.datetime, command: str = ""
) -> Report:
    """The report of a judgement that began at `started` (UTC); it names the bundle."""
    made = report_run(checked, started, command)
    return dataclasses.replace(made, bundle=bundle.facts)
