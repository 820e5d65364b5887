"""Verdicts on free-running speech: every code fed back, as in use."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.arrays import Array
from harness.budget import Allowed, Budget, DecisionAllowance
from harness.compare import (
    Gate,
    Oracle,
    Status,
    Verdict,
    words,
)
from harness.methods import SOUND
from harness.parity.evidence import EXACT_FRAMES, SPEECH, Evidence
from harness.parity.judges.codes import CODES, judge_codes, judge_decisions
from harness.parity.judges.links import judge_exact
from harness.parity.judges.sound import SUBJECT, judge_sound, judge_stream
from harness.parity.judges.trace import judge_prompt, judge_trace, same_prompt
from harness.parity.judges.values import own_error, refused
from harness.parity.observation import Observation, Spoken
from harness.parity.plan import Plan
from harness.synthesis import Followed

__all__ = [
    "SUBJECT",
    "followed_by",
    "judge_repeat",
    "judge_speech",
]


def judge_speech(
    plan: Plan, evidence: Evidence, observation: Observation, budget: Budget
) -> list[Verdict]:
    """Codes and sound against eager, streamed against offline, and the same twice.

    The loop in float64 comes first. Of a runner that traces, its prompt is next: with another one
    its codes are not compared.
    """
    return [
        *_judge_loop(evidence, observation, budget),
        *_judge_said(plan, evidence, observation, budget),
    ]


def _judge_loop(evidence: Evidence, observation: Observation, budget: Budget) -> list[Verdict]:
    """What the loop decides in its first frames without rounding: eager's decisions, exactly."""
    made, meant = observation.exact.get(SPEECH), evidence.exact_own
    if made is None or meant is None:
        return []
    frames = min(EXACT_FRAMES, meant.codes.shape[1])
    wanted = {SPEECH: (meant.levels[:, :frames], meant.margins[:frames])}
    advice = "Where no method is red in float64, it is the loop that makes frames of codes."
    verdict = judge_exact(SUBJECT, wanted, made, budget.loop, advice)
    return [dataclasses.replace(verdict, kind="loop")]


def _judge_said(
    plan: Plan, evidence: Evidence, observation: Observation, budget: Budget
) -> list[Verdict]:
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


def judge_repeat(first: Spoken, again: Spoken) -> Verdict:
    """Whether the same request gave the same bytes twice, and ended alike."""
    pairs: list[tuple[str, Array, Array]] = [
        *(
            (f"margins ({name})", first.margins[name], again.margins[name])
            for name in first.margins
        ),
        ("codes", first.codes, again.codes),
        ("samples (codec, if the codes are equal)", first.waveform, again.waveform),
    ]
    different = [name for name, a, b in pairs if a.shape != b.shape or a.tobytes() != b.tobytes()]
    if first.ended != again.ended:
        different.append("end: only one chose END_AUDIO")
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
