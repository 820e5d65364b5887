"""Verdicts on what upstream's runner tells of its first frames: its prompt, then its values."""

from __future__ import annotations

import numpy as np

from harness.arrays import Array
from harness.budget import Budget, DecisionAllowance
from harness.compare import Gate, Status, Verdict, judge_many, words
from harness.parity.evidence import Evidence
from harness.parity.opening import Opening, opening_of
from harness.parity.plan import Plan
from harness.runner.trace import HIDDEN, Trace

__all__ = ["TRACE", "judge_prompt", "judge_trace", "same_prompt"]

TRACE = "trace: "
"""What the cases of these verdicts begin with, but for the prompt's."""

_LOGITS = f"{TRACE}top logits"


def same_prompt(evidence: Evidence, trace: Trace | None) -> bool:
    """Whether the runner said the same tokens; taken for granted of who does not tell."""
    return trace is None or np.array_equal(trace.prompt, evidence.prompt.ids[0])


def judge_prompt(evidence: Evidence, trace: Trace) -> Verdict:
    """The runner's token ids against ours: with another prompt, codes say nothing of the files."""
    ours, theirs = evidence.prompt.ids[0], trace.prompt
    if same_prompt(evidence, trace):
        gate = Gate("tokens", 0, 0, "tokens")
        summary = f"the runner's prompt is ours, {words.count(ours.size, 'token')}"
        return Verdict("speech", "prompt", "prompt", Status.PASS, summary, {}, (gate,), ours.size)
    common = min(ours.size, theirs.size)
    unequal = np.flatnonzero(ours[:common] != theirs[:common])
    at = int(unequal[0]) if unequal.size else common
    count = unequal.size + abs(ours.size - theirs.size)
    told = [str(int(ids[at])) if at < ids.size else "none" for ids in (theirs, ours)]
    summary = (
        f"the runner's prompt of {words.count(theirs.size, 'token')} is not ours of {ours.size}: "
        f"token {at} is {told[0]}, ours {told[1]}"
    )
    notes = (
        "The runner has a tokenizer of its own, which makes control tokens of [AUDIO] or <s> in a "
        "text; that says nothing of the files.",
    )
    gate = Gate("tokens", count, 0, "tokens", f"token {at}")
    metrics = {"tokens": int(theirs.size), "tokens.eager": int(ours.size)}
    return Verdict(
        "speech", "prompt", "prompt", Status.FAIL, summary, metrics, (gate,), common, notes
    )


def judge_trace(
    plan: Plan, evidence: Evidence, trace: Trace, codes: Array, budget: Budget, regime: str
) -> list[Verdict]:
    """Hidden states, the first embedding and top logits against eager's along the same codes.

    `regime` names the runner's arithmetic.
    """
    eager = _opening(evidence, codes)
    precision = plan.precision.allowance
    decisions = budget.decision(precision, regime)
    found = []
    for method, names in (
        ("text_decoder", HIDDEN),
        ("audio_token_embedding", ("frame0_audio_embed",)),
    ):
        case = f"{TRACE}{', '.join(name.replace('_', ' ') for name in names)}"
        allowed = budget.of(plan.lowering, precision, method, regime)
        if eager is None or allowed is None:
            found.append(_unjudged(method, case, eager is None, precision))
            continue
        pairs = [
            (trace.vectors[name], reference)
            for name in names
            if name in trace.vectors and (reference := _reference(eager, name)) is not None
        ]
        if pairs:
            found.append(judge_many(method, case, pairs, allowed.cap))
    if eager is None or decisions is None:
        found.append(_unjudged("semantic_head", _LOGITS, eager is None, precision))
    else:
        found.append(_judge_logits(eager, trace, decisions))
    return found


def _judge_logits(eager: Opening, trace: Trace, allowed: DecisionAllowance) -> Verdict:
    """The runner's greatest logits against eager's of the same codes."""
    case = _LOGITS
    frames = min(len(trace.top_ids), len(eager.logits))
    ids, logits = trace.top_ids[:frames], trace.top_logits[:frames]
    if not ids.size or ids.min() < 0 or ids.max() >= eager.logits.shape[1]:
        summary = "the trace has no logits, or some of codes that there are not"
        return Verdict("semantic_head", case, "logits", Status.FAIL, summary)
    gaps = np.abs(logits - np.take_along_axis(eager.logits[:frames], ids, axis=1))
    worst = np.unravel_index(int(np.argmax(gaps)), gaps.shape)  # NaN counts as the greatest
    wrong = int((trace.codes[:frames] != ids[:, 0]).sum())
    gates = (
        Gate("codes that are not the top logit's", wrong, 0, "codes"),
        Gate(
            "top logits", float(gaps[worst]), allowed.logits, "logits",
            f"frame {int(worst[0])}, code {int(ids[worst])}",
        ),
    )  # fmt: skip
    passed = all(gate.passed for gate in gates)
    summary = (
        f"the top {ids.shape[1]} logits of {words.count(frames, 'frame')} are up to "
        f"{words.number(gates[1].value)} from eager's, {words.number(allowed.logits)} allowed"
    )
    status = Status.PASS if passed else Status.FAIL
    notes = () if passed else (f"Allowed: {allowed.source}.",)
    return Verdict("semantic_head", case, "logits", status, summary, {}, gates, gaps.size, notes)


def _opening(evidence: Evidence, codes: Array) -> Opening | None:
    """Eager's first values along `codes`; None where it did not follow them."""
    if np.array_equal(codes, evidence.speech.codes):
        return opening_of(lambda name: evidence.cases[name][0].outputs)
    followed = evidence.followed
    if followed is None or not np.array_equal(codes, followed.codes):
        return None
    return evidence.opening


def _reference(eager: Opening, name: str) -> Array | None:
    """Eager's vector by the trace's name; None where it has no such frame."""
    rows, row = {
        "prefill_hidden": (eager.hidden, 0),
        "frame0_hidden": (eager.hidden, eager.prompts - 1),
        "frame1_hidden": (eager.hidden, eager.prompts),
        "frame0_audio_embed": (eager.embeds, 0),
    }[name]
    return rows[row] if row < len(rows) else None


def _unjudged(subject: str, case: str, unfollowed: bool, precision: str) -> Verdict:
    reason = (
        "eager did not follow the codes that were chosen"
        if unfollowed
        else f"no allowance is known for {precision}"
    )
    summary = f"the trace was not compared with eager: {reason}"
    return Verdict(subject, case, "logits", Status.UNJUDGED, summary)
