"""Verdicts on a method's outputs: against eager on the same inputs, and against itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from harness.arrays import Array
from harness.budget import FLOOR_SOURCE, MEASURING, Allowed, Budget, floor
from harness.compare import (
    Allowance,
    Oracle,
    Status,
    Verdict,
    judge_many,
    judge_own_error,
    judge_waveform,
    relative_error,
    words,
)
from harness.compare.metrics import as_float64
from harness.compare.sqnr import judge_sqnr
from harness.compare.waveforms import PCM16_FULL_SCALE
from harness.fingerprint import UNMEASURED
from harness.methods import Method
from harness.parity.evidence import SPEECH, STEPS, CaseEvidence, Evidence
from harness.parity.observation import By, CaseObservation, Refusal
from harness.parity.plan import Plan

__all__ = [
    "HERE",
    "LOWERING",
    "NOT_RUN",
    "figures_only",
    "judge_outputs",
    "judge_precision",
    "judge_values",
    "oracles_of",
    "own_error",
    "pcm_steps",
    "refused",
    "unlowered",
]

LOWERING = "lowering"
"""The case of the verdict on a method that cannot be lowered."""

NOT_RUN = CaseObservation(refusal=Refusal(By.HARNESS, "the executor did not run it"))
"""What is known of a case that nobody ran."""

HERE = " in this regime of arithmetic"


def judge_values(
    plan: Plan,
    method: Method,
    evidence: Evidence,
    observed: Mapping[str, CaseObservation],
    budget: Budget,
    regime: str = UNMEASURED,
) -> list[Verdict]:
    """A verdict on each case of one method.

    Parameters
    ----------
    plan, evidence
        What should have come of each case.
    observed
        What came of it, by the case's label.
    budget, regime
        How far it may be off, in the executor's regime of arithmetic.
    """
    allowed = budget.of(plan.lowering, plan.precision.allowance, method.name, regime)
    oracles = oracles_of(evidence, method)
    found = []
    for item in evidence.cases[method.name]:
        label = item.case.label
        here = observed.get(label, NOT_RUN)
        oracle = oracles.get(SPEECH if label == STEPS else label)
        if label == STEPS:
            item, here = _whole_against_steps(method, item, observed.get(SPEECH, NOT_RUN), here)
        found.append(judge_outputs(plan, method, item, here, allowed, oracle))
    return found


def oracles_of(evidence: Evidence, method: Method) -> dict[str, Oracle]:
    """What cases would be without rounding, by their labels: those that eager ran in float64."""
    relative = own_error(evidence, method)
    exact = evidence.exact.get(method.name, {})
    return {label: Oracle(outputs, relative) for label, outputs in exact.items() if outputs}


def own_error(evidence: Evidence, method: Method) -> float:
    """What eager of this precision loses of a method's outputs, of their RMS."""
    exact = evidence.exact.get(method.name, {})
    cases = [item for item in evidence.cases[method.name] if exact.get(item.case.label)]
    return relative_error([(item.outputs, exact[item.case.label]) for item in cases])


def judge_outputs(
    plan: Plan,
    method: Method,
    item: CaseEvidence,
    observed: CaseObservation,
    allowed: Allowed | None,
    oracle: Oracle | None = None,
) -> Verdict:
    """Judge what came of one case: beside what eager itself loses, and under the cap.

    Parameters
    ----------
    oracle
        Without rounding; None leaves the cap alone.

    Returns
    -------
    Verdict
        *fail* where the program refused to run; *unjudged* where somebody else did, or where
        nobody measured what counts as equal.
    """
    label = item.case.label
    if observed.refusal is not None:
        return refused(method.name, label, observed.refusal)
    if allowed is None:
        reason = f"no allowance is known for {plan.lowering} in {plan.precision.allowance}{HERE}"
        anything = MEASURING.otherwise
        assert anything is not None
        return figures_only(judge_outputs(plan, method, item, observed, Allowed(anything)), reason)
    cap = dataclasses.replace(allowed.cap, masked=method.masked)
    pairs = list(zip(observed.outputs, item.outputs, strict=True))
    rate = plan.sizes.sampling_rate if method.sound else 0
    if method.sound and len(pairs) == 1:
        ((candidate, reference),) = pairs
        steps = pcm_steps(reference, cap)
        verdict = judge_waveform(method.name, label, candidate, reference, cap, rate, pcm_lsb=steps)
    else:
        verdict = judge_many(method.name, label, pairs, cap)
    if oracle is None or allowed.own is None:
        return verdict
    return judge_own_error(verdict, pairs, oracle, allowed.own, rate)


def judge_precision(plan: Plan, method: Method, evidence: Evidence) -> list[Verdict]:
    """What the precision costs the method against fp32, on the recorded calls."""
    least = floor(method.name, plan.precision)
    if least is None:
        return []
    width, decibels = least
    case = f"{width} weights vs fp32" if width.endswith("w") else f"{width} vs fp32"
    recorded = evidence.cases[method.name][0].outputs
    pairs = list(zip(recorded, evidence.fp32.get(method.name, ()), strict=False))
    return [judge_sqnr(method.name, case, pairs, decibels, FLOOR_SOURCE)]


def figures_only(verdict: Verdict, reason: str) -> Verdict:
    """`verdict` under an allowance of anything, where nobody measured what counts as equal.

    What fails all the same, values that are not finite for one, is wrong under any.
    """
    if verdict.status is Status.FAIL:
        return verdict
    greatest, told = verdict.metrics.get("max_abs_scaled"), verdict.summary
    if isinstance(greatest, float):
        told = f"the greatest difference is {words.number(greatest)} of the scale"
    return dataclasses.replace(verdict, status=Status.UNJUDGED, summary=f"{reason}; {told}")


def refused(subject: str, case: str, refusal: Refusal) -> Verdict:
    """Verdict on a case without output: failed only if the program itself refused."""
    if refusal.by is By.PROGRAM:
        summary = f"lowered, but does not run: {refusal.reason}"
        return Verdict(subject, case, "execution", Status.FAIL, summary)
    return Verdict(
        subject,
        case,
        "execution",
        Status.UNJUDGED,
        f"could not be judged: {refusal.reason}",
        notes=("This says nothing of the program: the harness, its input or the machine failed.",),
    )


def unlowered(method: Method, reason: str, lowering: str) -> Verdict:
    """Verdict on a method that could not be lowered at all."""
    names = {"mlx": "MLX", "xnnpack": "XNNPACK"}
    first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    return Verdict(
        subject=method.name,
        case=LOWERING,
        kind="execution",
        status=Status.FAIL,
        summary=f"cannot be lowered to {names[lowering]}: {first[:300]}",
        notes=(reason,),
    )


def _whole_against_steps(
    method: Method, steps: CaseEvidence, whole: CaseObservation, single: CaseObservation
) -> tuple[CaseEvidence, CaseObservation]:
    """The KV cache by itself: one prefill of S tokens against S single steps, same executor.

    A fault of the state shows here even where eager shares it.
    """
    if single.refusal is not None or whole.refusal is not None:
        return steps, CaseObservation(refusal=single.refusal or whole.refusal)
    form = single.outputs[0].shape
    joined = all(y.shape == form for y in single.outputs) and form[:2] == (1, 1)
    outputs = (np.concatenate(single.outputs, axis=1) if joined else single.outputs[0],)
    return CaseEvidence(steps.case, whole.outputs[:1]), CaseObservation(outputs)


def pcm_steps(reference: Array, allowance: Allowance) -> int:
    """How many steps 16-bit codes may differ: what `max_abs` comes to, and one by truncation."""
    steps = allowance.max_abs * float(np.abs(as_float64(reference)).max()) * PCM16_FULL_SCALE
    return 1 if steps < 1 or not math.isfinite(steps) else 1 + math.ceil(steps)
