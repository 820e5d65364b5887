"""Verdicts on the two links: what was lowered is the model, and what ran is what was lowered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.arrays import Array
from harness.budget import ExactAllowance, LocalAllowance
from harness.compare import Gate, Status, Verdict, words
from harness.compare.metrics import as_float64, difference
from harness.compare.verdict import Metric
from harness.methods import Method
from harness.parity.judges.values import NOT_RUN, refused
from harness.parity.observation import (
    By,
    CaseObservation,
    LocalObservation,
    Refusal,
    StepObservation,
)

__all__ = [
    "IN_FLOAT64",
    "NOT_WATCHED",
    "judge_differences",
    "judge_exact",
    "judge_local",
    "name_of",
]

IN_FLOAT64 = "in float64"
"""The case of the verdict on what a program means."""

NOT_WATCHED = LocalObservation(refusal=Refusal(By.HARNESS, "nobody watched its steps"))
"""What is known of the steps of a method, where those of others were seen."""

_LISTED = 3
"""Wrong steps that a verdict names."""


def judge_exact(
    subject: str,
    meant: Mapping[str, Sequence[Array]],
    observed: Mapping[str, CaseObservation],
    allowance: ExactAllowance,
    advice: str,
) -> Verdict:
    """Programs in float64 against eager in float64 with the same weights, over all cases.

    Parameters
    ----------
    subject
        What is judged: a method, or the speech.
    meant, observed
        By the case's label: eager's outputs, one a call, and what came of the program.
    allowance
        What they may differ by.
    advice
        What to do where they differ.
    """
    found: list[tuple[str, Array, Array]] = []
    refusals: list[Refusal] = []
    for label, wanted in meant.items():
        if not wanted:
            continue
        here = observed.get(label, NOT_RUN)
        if here.refusal is not None:
            refusals.append(here.refusal)
            continue
        for call, (made, reference) in enumerate(zip(here.outputs, wanted, strict=False)):
            found.append((f"{label}, call {call}", made, reference))
    verdict = judge_differences(subject, found, allowance, advice)
    if refusals and verdict.status is not Status.FAIL:
        return refused(subject, IN_FLOAT64, refusals[0])
    return verdict


def judge_differences(
    subject: str,
    found: Sequence[tuple[str, Array, Array]],
    allowance: ExactAllowance,
    advice: str = "",
) -> Verdict:
    """Outputs of a program in float64, each with its place and what eager in float64 makes.

    `advice` is what to do where they differ.
    """
    worst, where, elements = 0.0, "", 0
    for place, made, reference in found:
        error, _ = difference(made, reference)
        elements += int(np.isfinite(as_float64(reference)).sum()) or int(error > 0)
        if not error <= worst:
            worst, where = error, place
    if not elements:
        summary = "eager in float64 was not recorded, or the program was not run in it"
        return Verdict(subject, IN_FLOAT64, "exact", Status.UNJUDGED, summary)
    gate = Gate("max abs", worst, allowance.of_scale, "of scale", where)
    if gate.passed:
        calls = words.count(len(found), "call")
        summary = f"means what eager means, to {worst:.1e} of the scale in {calls}"
        status, notes = Status.PASS, []
    else:
        summary = (
            f"means something else than eager: in float64 they differ by {worst:.1e} of the scale "
            f"({where})"
        )
        status = Status.FAIL
        told = "a weight, a module's wrapper or the lowering is wrong."
        notes = [f"No rounding is in this difference: {told} {advice}".rstrip()]
    metrics: dict[str, Metric] = {"max abs of scale": worst, "allowance source": allowance.source}
    return Verdict(
        subject, IN_FLOAT64, "exact", status, summary, metrics, (gate,), elements, tuple(notes)
    )


def judge_local(method: Method, seen: LocalObservation, allowance: LocalAllowance) -> Verdict:
    """Every step that ran, on the inputs which it had."""
    case = "each step"
    if seen.refusal is not None:
        return refused(method.name, case, seen.refusal)
    if not seen.steps:
        summary = "no step could be judged"
        return Verdict(method.name, case, "local", Status.UNJUDGED, summary, notes=seen.unjudged)
    shares = [step.worst.error.share(allowance) for step in seen.steps if step.worst.error]
    wrong = [s for s, share in zip(seen.steps, shares, strict=True) if not share <= 1.0]
    first = wrong[0] if wrong else seen.steps[int(np.argmax(shares))]
    metrics = _metrics(first)
    metrics |= {"steps": len(seen.steps), "calls": seen.calls, "allowance source": allowance.source}
    metrics["shares"] = tuple(float(f"{share:.2g}") for share in shares)
    gates = [
        Gate("worst step", max(shares), 1.0, "of its bound", name_of(first)),
        Gate("changed when watched", len(seen.changed), 0, "calls"),
        Gate("not judged", len(seen.unjudged), 0, "steps"),
    ]
    notes = [_sentence(step) for step in wrong[:_LISTED]]
    if seen.hidden:
        notes.append(
            f"{words.count(seen.hidden, 'more step')} showed no value of their own: what they make "
            "is in the inputs of the steps behind them."
        )
    if len(wrong) > _LISTED:
        notes.append(f"{len(wrong) - _LISTED} more steps are wrong.")
    if seen.changed:
        notes.append(f"While it was watched it made something else: {'; '.join(seen.changed[:3])}.")
    if wrong:
        status, summary = Status.FAIL, f"{name_of(first)} does not compute what it means"
    elif seen.changed:
        status, summary = Status.FAIL, "what it makes changes when it is watched"
    elif seen.unjudged:
        status = Status.UNJUDGED
        summary = f"{len(seen.unjudged)} steps have no float64 semantics"
        notes += seen.unjudged
    else:
        status = Status.PASS
        summary = f"each of {len(seen.steps)} steps computes what it means, in {seen.calls} calls"
    elements = len(seen.steps)
    return Verdict(
        method.name, case, "local", status, summary, metrics, tuple(gates), elements, tuple(notes)
    )


def name_of(seen: StepObservation) -> str:
    """``step 12, GatherNode (im2col)``."""
    step = seen.worst
    return f"step {step.step}, {step.op}" + (f" ({step.name})" if step.name else "")


def _metrics(seen: StepObservation) -> dict[str, Metric]:
    step, error = seen.worst, seen.worst.error
    assert error is not None
    return {
        "step": step.step,
        "op": step.op,
        "node": step.name,
        "module": step.module,
        "case": seen.case,
        "call": seen.call,
        "shape": tuple(error.shape),
        "index": tuple(error.index),
        "made": error.made,
        "meant": error.meant,
        "allowed": error.allowed,
        "gain": error.gain,
        "gain over its error": error.gain_z,
        "bias in ULP": error.bias,
        "bias over its error": error.bias_z,
    }


def _sentence(seen: StepObservation) -> str:
    step, error = seen.worst, seen.worst.error
    assert error is not None
    place = f" in {step.module}" if step.module else ""
    at = f"[{', '.join(map(str, error.index))}]" if error.index else ""
    text = f"{name_of(seen)}{place}, {seen.case}, call {seen.call}: "
    if error.worst > 1:
        text += f"{error.made:.6g} at {at or 'its value'}, meant is {error.meant:.6g}"
        return text + (f" ± {error.allowed:.2g}." if error.allowed else ", exactly.")
    return text + (
        f"every element is within its bound, but together they have a gain of {error.gain:.1e} "
        f"({error.gain_z:.0f} standard errors) and a bias of {error.bias:.2f} ULP "
        f"({error.bias_z:.0f} standard errors)."
    )
