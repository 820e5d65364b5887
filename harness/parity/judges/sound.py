"""Verdicts on the sound of a free-running speech: against eager's codec, and streamed."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.arrays import Array
from harness.budget import MEASURING, Allowed
from harness.compare import (
    Allowance,
    Gate,
    Oracle,
    Status,
    Verdict,
    judge_own_error,
    judge_waveform,
    to_pcm16,
)
from harness.compare.pcm import judge_pcm
from harness.compare.streams import judge_streaming
from harness.compare.waveforms import PCM16_FULL_SCALE
from harness.parity.judges.values import HERE, figures_only, pcm_steps
from harness.parity.observation import Spoken, SpokenTwice
from harness.parity.plan import Plan
from harness.synthesis import (
    Followed,
    codec_lookback,
    frames_short_of_context,
    stream_windows,
)

__all__ = ["SUBJECT", "judge_sound", "judge_stream"]

SUBJECT = "speech"
"""What these verdicts are of: no method, but all six."""


def judge_sound(
    plan: Plan,
    said: Spoken,
    followed: Followed | None,
    allowed: Allowed | None,
    oracle: Oracle | None = None,
) -> Verdict:
    """The waveform against what eager's codec makes of the same codes."""
    case = "waveform, free-running"
    if followed is None:
        summary = "the waveform was not compared with eager: there is none of its codes"
        return Verdict(SUBJECT, case, "waveform", Status.UNJUDGED, summary)
    if allowed is None:
        reason = f"no allowance is known for {plan.precision.allowance}{HERE}"
        anything = MEASURING.otherwise
        assert anything is not None
        return figures_only(judge_sound(plan, said, followed, Allowed(anything)), reason)
    verdict = _judge_samples(plan, case, said.waveform, followed.waveform, allowed.cap)
    if oracle is None or allowed.own is None:
        return verdict
    made, eager = said.waveform, followed.waveform
    if made.dtype == np.int16:
        made, eager = (_midway(codes) for codes in (made, to_pcm16(eager)))
    rate = plan.sizes.sampling_rate
    return judge_own_error(verdict, [(made, eager)], oracle, allowed.own, rate)


def _midway(codes: Array) -> Array:
    """The middle of what the cast makes each code of: it drops the fraction, towards zero."""
    middle: Array = (codes + 0.5 * np.sign(codes)) / PCM16_FULL_SCALE
    return middle


def judge_stream(plan: Plan, said: SpokenTwice, allowance: Allowance | None) -> Verdict:
    """The same codes in chunks and offline, on the executor's own codec.

    The chunks must bring as much context as the codec looks back: with less, a listener hears
    every seam.
    """
    case = "streaming ≡ offline"
    if allowance is None:
        reason = f"no allowance is known for {plan.precision.allowance}{HERE}"
        return figures_only(judge_stream(plan, said, MEASURING.otherwise), reason)
    chunks, frames = said.chunks, said.stream_codes.shape[1]
    lookback = codec_lookback(plan.config)
    short = frames_short_of_context(frames, plan.sizes.max_codec_frames, chunks, lookback)
    factor = plan.sizes.downsample_factor
    if said.offline.dtype == np.int16:
        keep = ~np.repeat(np.isin(np.arange(frames), short), factor)
        same = said.streamed.size == said.offline.size == keep.size
        streamed, offline = (x[keep] if same else x for x in (said.streamed, said.offline))
        rate = plan.sizes.sampling_rate
        verdict = judge_pcm(SUBJECT, case, streamed, offline, allowance, rate)
    else:
        verdict = judge_streaming(
            SUBJECT, case, said.streamed, said.offline, allowance,
            frame_samples=factor, short_of_context=short,
        )  # fmt: skip
    missing = Gate("left context", max(0, lookback - chunks.left_context), 0, "frames missing")
    told = (
        f"{frames} frames in chunks of {chunks.initial}, then {chunks.following}, "
        f"after {chunks.left_context} of context; the codec looks back {lookback}."
    )
    others = Gate("windows", _other_windows(said), 0, "of other frames")
    status = verdict.status if missing.passed and others.passed else Status.FAIL
    summary = verdict.summary
    if not missing.passed:
        summary = f"streams with {missing.value:g} frames of context too few; {summary}"
    if not others.passed:
        summary = f"{others.value:g} windows of the stream hold other frames; {summary}"
    return dataclasses.replace(
        verdict,
        status=status,
        summary=summary,
        gates=(*verdict.gates, missing, others),
        notes=(*verdict.notes, told),
    )


def _other_windows(said: SpokenTwice) -> int:
    """Windows of the stream that do not begin with the frames that its chunks ask for.

    What a window holds behind these is padding, and the codec is causal.
    """
    if not said.windows:
        return 0
    wanted = stream_windows(said.stream_codes.shape[1], said.chunks)
    given = [window.reshape(len(said.stream_codes), -1) for window in said.windows]
    return abs(len(wanted) - len(given)) + sum(
        not np.array_equal(
            codes[:, : window.end - window.start], said.stream_codes[:, window.start : window.end]
        )
        for window, codes in zip(wanted, given, strict=False)
    )


def _judge_samples(
    plan: Plan, case: str, candidate: Array, reference: Array, allowance: Allowance
) -> Verdict:
    rate = plan.sizes.sampling_rate
    if candidate.dtype == np.int16:
        return judge_pcm(SUBJECT, case, candidate, to_pcm16(reference), allowance, rate)
    steps = pcm_steps(reference, allowance)
    return judge_waveform(SUBJECT, case, candidate, reference, allowance, rate, pcm_lsb=steps)
