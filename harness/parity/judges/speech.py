"""Verdicts on free-running speech: every code fed back, as in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from harness.arrays import Array
from harness.budget import MEASURING, Allowed, Budget, DecisionAllowance
from harness.compare import (
    Gate,
    Multiples,
    Oracle,
    Status,
    Verdict,
    words,
)
from harness.compare.metrics import as_float64, ratio
from harness.compare.verdict import Metric
from harness.compare.waveforms import rms
from harness.methods import SOUND
from harness.parity.evidence import Evidence
from harness.parity.judges.sound import SUBJECT, judge_sound, judge_stream
from harness.parity.judges.trace import judge_prompt, judge_trace, same_prompt
from harness.parity.judges.values import HERE, figures_only, own_error, refused
from harness.parity.observation import Observation, Spoken
from harness.parity.plan import Plan
from harness.synthesis import N_SPECIAL_CODES, Followed

__all__ = [
    "CODES",
    "SUBJECT",
    "followed_by",
    "judge_codes",
    "judge_decisions",
    "judge_repeat",
    "judge_speech",
]

CODES = "codes, free-running"


def judge_speech(
    plan: Plan, evidence: Evidence, observation: Observation, budget: Budget
) -> list[Verdict]:
    """Codes and sound against eager, streamed against offline, and the same twice.

    Of a runner that traces, its prompt comes first: with another one its codes are not compared.
    """
    if observation.speech_refusal is not None:
        refusal = observation.speech_refusal
        verdict = refused(SUBJECT, "free-running", refusal)
        said_last = (f"It said last:\n{refusal.detail}",) if refusal.detail else ()
        return [dataclasses.replace(verdict, notes=(*verdict.notes, *said_last))]
    if observation.speech is None:
        return []
    said = observation.speech
    regime = observation.executor.regime
    sound, velocity = (
        budget.of(plan.lowering, plan.precision.allowance, name, regime)
        for name in (SOUND.name, "predict_velocity")
    )
    decisions = budget.decision(plan.precision.allowance, regime)
    followed, exact = followed_by(evidence, said.first)
    trace, found = observation.trace, list[Verdict]()
    if followed is None and observation.along is not None:
        found = _judge_along(plan, evidence, observation, decisions, sound)
        repeated = judge_repeat(said.first, said.again)
        return [*found, judge_stream(plan, said, None if sound is None else sound.cap), repeated]
    if trace is not None:
        found.append(judge_prompt(evidence, trace))
    if same_prompt(evidence, trace):
        if trace is not None:
            found += judge_trace(plan, evidence, trace, said.first.codes, budget, regime)
        codes = judge_codes(plan, evidence, said.first, followed, decisions)
        if exact is not None and velocity is not None and velocity.own is not None:
            codes = judge_decisions(codes, evidence, exact, velocity.own)
        found.append(codes)
    else:
        summary = "the codes were not compared with eager: the prompts differ"
        found.append(Verdict(SUBJECT, CODES, "codes", Status.UNJUDGED, summary))
    oracle = None
    if exact is not None:
        oracle = Oracle((exact.waveform,), own_error(evidence, SOUND))
    return [
        *found,
        judge_sound(plan, said.first, followed, sound, oracle),
        judge_stream(plan, said, None if sound is None else sound.cap),
        judge_repeat(said.first, said.again),
    ]


def _judge_along(
    plan: Plan,
    evidence: Evidence,
    observation: Observation,
    decisions: DecisionAllowance | None,
    sound: Allowed | None,
) -> list[Verdict]:
    """Codes and sound where the executor chose other codes and eager was not there to follow.

    Both went along eager's codes then: up to the first code that differs, that is what the
    executor said by itself, and behind it each decision is compared all the same.
    """
    said, along = observation.speech, observation.along
    assert said is not None
    assert along is not None
    alone = judge_codes(plan, evidence, said.first, None, decisions)
    there = Spoken(along.codes, along.ended, along.waveform)
    eager, oracle = followed_by(evidence, there)
    if eager is None:
        return [alone, judge_sound(plan, said.first, None, sound)]
    codes = alone
    if alone.status is not Status.FAIL:  # no codes that no frame holds, and no early end
        codes = judge_codes(plan, evidence, there, along, decisions)
        frame, book = _first_other(said.first, evidence)
        note = (
            f"By itself the executor says other codes from frame {frame}, codebook {book} on. "
            "Eager is not here to follow them: both went along eager's, frame by frame."
        )
        codes = dataclasses.replace(codes, notes=(note, *codes.notes))
    exact = None if oracle is None else Oracle((oracle.waveform,), own_error(evidence, SOUND))
    waveform = judge_sound(plan, there, eager, sound, exact)
    note = "The sound is of eager's codes: by itself the executor says others."
    return [codes, dataclasses.replace(waveform, notes=(note, *waveform.notes))]


def _first_other(said: Spoken, evidence: Evidence) -> tuple[int, int]:
    """Frame and codebook of the first code that is not eager's."""
    codes = evidence.speech.codes
    frames = min(said.codes.shape[1], codes.shape[1])
    differ = np.argwhere((said.codes[:, :frames] != codes[:, :frames]).T)
    return (int(differ[0][0]), int(differ[0][1])) if len(differ) else (frames, 0)


def judge_codes(
    plan: Plan,
    evidence: Evidence,
    said: Spoken,
    followed: Followed | None,
    allowance: DecisionAllowance | None,
) -> Verdict:
    """Every code against what eager decides on the same inputs.

    A code is a decision: a float is rounded, the greatest logit is taken. Eager followed the
    executor's own codes, so that each decision had the same history on both sides. Where eager
    decides otherwise, the verdict tells how far its value lies from the bound that the other
    decision needs: a tie lies within what rounding errors can do, anything else is a fault.

    Returns
    -------
    Verdict
        *fail* for a fault, for a code that no frame can hold (END decoded as one), and for a
        speech that stops before END and before its limits; *unjudged* where eager did not follow
        the codes, or where nobody measured how far decisions may move.
    """
    case, kind = CODES, "codes"
    frames = said.codes.shape[1]
    metrics: dict[str, Metric] = {"frames": frames, "frames.eager": evidence.speech.codes.shape[1]}
    invalid = _invalid(plan, said.codes)
    early = 0 if said.ended else max(0, _frame_limit(plan, evidence) - frames)
    impossible = (
        Gate("codes that no frame holds", len(invalid), 0, "codes"),
        Gate("frames missing before the end", early, 0, "frames"),
    )
    if not all(gate.passed for gate in impossible):
        told = [f"frame {frame}, codebook {book}: {code}" for frame, book, code in invalid[:1]]
        if early:
            told.append(f"stops after {words.count(frames, 'frame')} and never chose END_AUDIO")
        elements = said.codes.size
        return Verdict(
            SUBJECT, case, kind, Status.FAIL, "; ".join(told), metrics, impossible, elements
        )
    if followed is None:
        summary = "the codes were not compared: eager did not follow those that were chosen"
        return Verdict(SUBJECT, case, kind, Status.UNJUDGED, summary, metrics)
    if allowance is None:
        reason = f"no allowance of decisions is known for {plan.precision.allowance}{HERE}"
        any_ = MEASURING.otherwise_decided
        return figures_only(judge_codes(plan, evidence, said, followed, any_), reason)
    behind, at = _greatest(followed.behind[None])
    beyond, place = _greatest(followed.beyond)
    spread = (
        float(np.sqrt(np.mean(np.square(followed.beyond, dtype=np.float64)))) if frames else 0.0
    )
    gates = (
        *impossible,
        Gate("frames that eager could not follow", frames - followed.followed, 0, "frames"),
        Gate("semantic decision", behind, allowance.logits, "logits", f"frame {at[1]}"),
        Gate(
            "acoustic decision", beyond, allowance.levels, "levels",
            f"frame {place[1]}, codebook {place[0] + 1}",
        ),
        Gate("acoustic decisions, RMS", spread, allowance.rms_levels, "levels"),
    )  # fmt: skip
    differ = int((followed.behind != 0).sum()) + int((followed.beyond != 0).sum())
    metrics["decided otherwise"] = differ
    compared = followed.behind.size + followed.beyond.size
    end = "ended by END_AUDIO" if said.ended else "ended by its limits"
    passed = all(gate.passed for gate in gates)
    if not differ:
        summary = f"all {words.count(compared, 'decision')} of {words.count(frames, 'frame')} are"
        summary += f" eager's, {end}"
    else:
        ties = ", all of them ties" if passed else f", {_first_fault(said, followed, allowance)}"
        if allowance is MEASURING.otherwise_decided:  # nobody knows what a tie is
            ties = ""
        summary = (
            f"{differ:,} of {words.count(compared, 'decision')} are not eager's{ties}: its "
            f"logits lie up to {words.number(behind)} behind, its values up to "
            f"{words.number(beyond)} levels beyond, {words.number(spread)} RMS"
        )
    return Verdict(
        SUBJECT,
        case,
        kind,
        Status.PASS if passed else Status.FAIL,
        summary,
        metrics,
        gates,
        compared,
        () if passed else (f"Allowed: {allowance.source}.",),
    )


def judge_decisions(
    verdict: Verdict, evidence: Evidence, exact: Followed, multiples: Multiples
) -> Verdict:
    """Add to a verdict on codes how far the oracle would decide otherwise, beside eager's own.

    Parameters
    ----------
    exact
        What the oracle decides along the codes that were chosen.
    multiples
        How many times the error of what eager decides on a decision may lie beyond the oracle's.
    """
    own, exact_own = evidence.own, evidence.exact_own
    if verdict.status is Status.UNJUDGED or own is None or exact_own is None:
        return verdict
    levels = as_float64(own.levels) - as_float64(exact_own.levels)
    logits = np.maximum(np.abs(own.margins - exact_own.margins), exact_own.behind)
    worst, _ = _greatest(exact.behind[None])
    beyond, at = _greatest(exact.beyond)
    gates = (
        Gate("semantic decision of own", ratio(worst, float(logits.max())), multiples.decision,
             "of eager's own"),
        Gate("acoustic decision of own", ratio(beyond, float(np.abs(levels).max())),
             multiples.decision, "of eager's own", f"frame {at[1]}, codebook {at[0] + 1}"),
        Gate("acoustic decisions, RMS of own",
             ratio(rms(as_float64(exact.beyond)), rms(levels)), multiples.rms, "of eager's own"),
    )  # fmt: skip
    missed = [gate.name for gate in gates if not gate.passed]
    if not missed:
        return dataclasses.replace(verdict, gates=(*verdict.gates, *gates))
    return dataclasses.replace(
        verdict,
        status=Status.FAIL,
        summary=f"{verdict.summary}; beside what eager itself loses: {', '.join(missed)}",
        gates=(*verdict.gates, *gates),
    )


def judge_repeat(first: Spoken, again: Spoken) -> Verdict:
    """Whether the same request gave the same bytes twice."""
    pairs: list[tuple[str, Array, Array]] = [
        *(
            (f"margins ({name})", first.margins[name], again.margins[name])
            for name in first.margins
        ),
        ("codes", first.codes, again.codes),
        ("samples (codec, if the codes are equal)", first.waveform, again.waveform),
    ]
    different = [name for name, a, b in pairs if a.shape != b.shape or a.tobytes() != b.tobytes()]
    elements = sum(a.size for _, a, _ in pairs)
    gate = Gate("arrays that differ", len(different), 0, "arrays")
    if different:
        named = ", ".join(dict.fromkeys(different))
        summary = f"the second of two identical requests gave other {named}"
    else:
        summary = f"two identical requests gave the same {words.count(elements, 'number')}"
    status = Status.FAIL if different else Status.PASS
    return Verdict(SUBJECT, "said twice", "repeat", status, summary, {}, (gate,), elements)


def followed_by(evidence: Evidence, said: Spoken) -> tuple[Followed | None, Followed | None]:
    """Eager along the codes that were said, with rounding and without.

    Its own speech says it where they are its own.
    """
    speech, followed = evidence.speech, evidence.followed
    if np.array_equal(said.codes, speech.codes) and said.ended == speech.ended:
        if evidence.own is not None:
            return evidence.own, evidence.exact_own
        steps = speech.codes.shape[1] + speech.ended
        none = np.zeros(0, np.float32)
        own = Followed(
            speech.codes,
            speech.ended,
            speech.codes.shape[1],
            np.zeros(steps, np.float32),
            np.zeros(speech.codes[1:].shape, np.float32),
            speech.waveform,
            none,
            none,
        )
        return own, None
    if followed is None or not np.array_equal(said.codes, followed.codes):
        return None, None
    if said.ended != followed.ended:
        return None, None
    return followed, evidence.exact_followed


def _first_fault(said: Spoken, followed: Followed, allowance: DecisionAllowance) -> str:
    """Where the first decision is that no tie explains."""
    wrong = np.zeros((followed.beyond.shape[0] + 1, followed.behind.size), bool)
    wrong[0] = ~(followed.behind <= allowance.logits)
    wrong[1:, : followed.beyond.shape[1]] = ~(followed.beyond <= allowance.levels)
    frame, book = (int(i) for i in np.argwhere(wrong.T)[0]) if wrong.any() else (0, 0)
    ends = frame == said.codes.shape[1]
    code = "END_AUDIO" if ends else int(said.codes[book, frame])
    return f"first at frame {frame}, codebook {book}, which has {code} and no tie"


def _invalid(plan: Plan, codes: Array) -> Sequence[tuple[int, int, int]]:
    """Frame, codebook and code of every entry that is special, or beyond its codebook."""
    sizes = plan.sizes
    most = np.full(codes.shape[0], sizes.acoustic_levels + N_SPECIAL_CODES)
    most[0] = sizes.semantic_codebook_size + N_SPECIAL_CODES
    wrong = (codes < N_SPECIAL_CODES) | (codes >= most[:, None])
    return [(int(f), int(b), int(codes[b, f])) for b, f in np.argwhere(wrong)]


def _frame_limit(plan: Plan, evidence: Evidence) -> int:
    """Frames after which speech stops without END_AUDIO: as asked for, or with a full KV cache."""
    utterance = plan.utterance
    room = plan.sizes.max_seq_len - evidence.prompt.ids.shape[1] - utterance.seed_step
    return min(utterance.max_new_tokens, room)


def _greatest(values: Array) -> tuple[float, tuple[int, int]]:
    """The greatest of a matrix and its position; NaN counts as the greatest."""
    if not values.size:
        return 0.0, (0, 0)
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    return float(values[row, column]), (int(row), int(column))
