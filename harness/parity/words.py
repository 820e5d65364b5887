"""Verdicts on what was said: its words, as a recogniser hears them, and published figures."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.asr import Transcriber
from harness.compare import Status, Verdict, statistics, to_pcm16
from harness.errors import HarnessError, InputError
from harness.golden import default_root
from harness.golden.anchor import Anchor, find_anchor, judge_anchor, read_anchors
from harness.parity.judges.speech import SUBJECT
from harness.parity.observation import Spoken
from harness.parity.plan import Plan

__all__ = ["judge_words", "published"]


def judge_words(
    plan: Plan, said: Spoken, transcriber: Transcriber | None, anchor: Anchor | None
) -> tuple[Verdict, ...]:
    """The words in a speech, and its figures beside the published ones."""
    found, transcript = [], None
    waveform = said.waveform
    rate = plan.sizes.sampling_rate
    if transcriber is not None:
        try:
            codes = waveform if waveform.dtype.kind == "i" else to_pcm16(waveform)
            heard = transcriber.judge(
                codes, rate, plan.utterance.text, synthetic=plan.preset is not None
            )
            transcript = str(heard.metrics.get("transcript", ""))
        except HarnessError as error:  # the recogniser's, or samples that have no 16-bit form
            case = f"words by {transcriber.engine}"
            heard = Verdict(SUBJECT, case, "words", Status.UNJUDGED, str(error))
        found.append(heard)
    if anchor is not None and np.isfinite(waveform).all():  # what is not finite is red elsewhere
        told = statistics(waveform, rate, said.codes.shape[1])
        found.append(judge_anchor(anchor, told, transcript=transcript))
    return tuple(found)


def published(plan: Plan) -> Anchor | None:
    """Published figures of the plan's utterance with its checkpoint, None if there are none."""
    try:
        anchors = read_anchors(default_root())
    except InputError:
        return None  # installed without a checkout: there are no goldens
    anchor = find_anchor(anchors, plan.params, plan.voices)
    said = dataclasses.asdict(plan.utterance)
    asked = ("text", "seed", "voice")
    if anchor is None or any(anchor.request[name] != said[name] for name in asked):
        return None
    return anchor
