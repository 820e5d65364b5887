"""Verdicts on codes: each is a decision, and eager decided on the same inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from harness.arrays import Array
from harness.budget import MEASURING, DecisionAllowance
from harness.compare import Gate, Multiples, Status, Verdict, words
from harness.compare.metrics import as_float64, ratio
from harness.compare.verdict import Metric
from harness.compare.waveforms import rms
from harness.parity.evidence import Evidence
from harness.parity.judges.sound import SUBJECT
from harness.parity.judges.values import HERE, figures_only
from harness.parity.observation import Spoken
from harness.parity.plan import Plan
from harness.synthesis import N_SPECIAL_CODES, Followed

__all__ = ["CODES", "judge_codes", "judge_decisions"]

CODES = "codes, free-running"

_HALF_WAY = 0.25
"""Levels between a rounding to the nearest, whose mean error is 0, and one down or up: 1/2."""

_CHANCE = 3.0
"""Standard errors of a mean that are chance."""


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
        _shift(exact, multiples.rms * abs(float(levels.mean())) if levels.size else 0.0),
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


def _shift(exact: Followed, own: float) -> Gate:
    """How far the acoustic codes lie above or below the oracle's values on average.

    Codes that are rounded to the nearest have a mean of 0, in any precision, and those that are
    rounded down or up one of half a level: half way between lies what is allowed. A frame is one
    sample, because all of its values come of the same hidden state.

    Parameters
    ----------
    own
        How far eager's values may lie above or below the oracle's on average, in levels.
    """
    codes = as_float64(exact.codes[1:, : exact.levels.shape[1]]) - N_SPECIAL_CODES
    means = (codes - as_float64(exact.levels)).mean(0) if codes.size else np.zeros(1)
    chance = _CHANCE * float(means.std()) / means.size**0.5
    shift = abs(float(means.mean()))
    return Gate("acoustic codes, mean shift", shift, _HALF_WAY + own + chance, "levels")


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
