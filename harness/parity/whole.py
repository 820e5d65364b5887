"""The whole path: what an executor says by itself, judged against eager and against itself.

Here every code is fed back, as in use; the methods' own verdicts are teacher-forced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.arrays import Array
from harness.asr import Transcriber
from harness.checkpoint import DEFAULT_VOICE, Checkpoint
from harness.compare import (
    Gate,
    Status,
    Verdict,
    WaveformStatistics,
    judge_waveform,
    statistics,
    to_pcm16,
    words,
)
from harness.compare.decisions import Decisions, TieAllowance, common_frames, judge_decisions
from harness.compare.streams import judge_streaming
from harness.errors import ExecutionError, InputError, MachineError, UnavailableError
from harness.golden import default_root
from harness.golden.anchor import Anchor, find_anchor, judge_anchor, read_anchors
from harness.methods import select_methods
from harness.parity.judge import refused
from harness.parity.speaking import Speaker, Utterance
from harness.synthesis import (
    Chunks,
    Speech,
    codec_lookback,
    decode_codes,
    decode_streaming,
    stream_windows,
)

if TYPE_CHECKING:
    from harness.parity.run import Parity

__all__ = [
    "SUBJECT",
    "TIES",
    "decisions",
    "judge_against_eager",
    "judge_equal",
    "judge_heard",
    "judge_repeat",
    "judge_speech",
    "judge_stream",
    "judge_whole_path",
    "poor_frames",
    "published",
]

_STREAMED = 64
"""Frames that are streamed at least, if the codec takes as many at once."""

SUBJECT = "speech"
"""What these verdicts are of: no method, but all six."""

TIES = {
    "fp32": TieAllowance(
        logits=1.5e-4,
        levels=1.8e-3,
        source="ten times what decisions of the portable executor and of eager lie apart on CPUs "
        "(tiny and small, the main job's sentence)",
    )
}
"""How far fp32 may move a decision. In bf16 free-running speech parts at once, rightly: there
the teacher-forced verdicts are the judgement."""


def decisions(speech: Speech) -> Decisions:
    """The decisions of a speech of ours."""
    return Decisions(
        codes=speech.codes,
        ended=speech.ended,
        semantic_margins=speech.argmax_margins,
        runners_up=speech.runners_up,
        level_margins=speech.rounding_margins,
    )


def judge_speech(parity: Parity) -> list[Verdict]:
    """Every verdict on the sentence that eager was asked to say."""
    utterance = Utterance.of(parity.script)
    eager = parity.speech if parity.allowance in TIES else None
    anchor = published(parity.checkpoint, utterance)
    return judge_whole_path(Speaker(parity), utterance, eager, anchor, parity.ear)


def judge_whole_path(
    speaker: Speaker,
    utterance: Utterance,
    eager: Speech | None,
    anchor: Anchor | None = None,
    ear: Transcriber | None = None,
) -> list[Verdict]:
    """Every verdict on one utterance: against eager, streamed against offline, and repeated.

    Parameters
    ----------
    speaker
        Who speaks; twice.
    utterance
        What is said, offline and streamed.
    eager
        What eager says of it; None where free-running speech has no allowance.
    anchor
        Published figures of the utterance with this checkpoint, if there are any.
    ear
        Who listens to the words.
    """
    offline = dataclasses.replace(utterance, streaming=False)
    try:
        first = speaker.say(offline)
        found = [] if eager is None else judge_against_eager(speaker, first, eager)
        rate = speaker.parity.sizes.sampling_rate
        told = statistics(first.waveform, rate, first.frames)
        found += judge_heard(to_pcm16(first.waveform), told, utterance, anchor, ear)
        again = speaker.say(offline)
        return [*found, judge_stream(speaker, first.codes), judge_repeat(first, again)]
    except (ExecutionError, InputError) as error:
        return [refused(SUBJECT, "whole path", error)]


def judge_heard(
    pcm: Array,
    told: WaveformStatistics,
    utterance: Utterance,
    anchor: Anchor | None,
    ear: Transcriber | None,
) -> list[Verdict]:
    """The words in a sound, and its figures beside the published ones.

    Parameters
    ----------
    pcm, told
        Codes of the WAV, and statistics of the sound.
    """
    found, transcript = [], None
    if ear is not None:
        try:
            heard = ear.judge(pcm, told.sample_rate, utterance.text)
            transcript = str(heard.metrics.get("transcript", ""))
        except (MachineError, UnavailableError) as error:  # the recogniser's fault, no speaker's
            case = f"words by {ear.engine}"
            heard = Verdict(SUBJECT, case, "words", Status.UNJUDGED, str(error))
        found.append(heard)
    if anchor is not None:
        found.append(judge_anchor(anchor, told, transcript=transcript))
    return found


def published(checkpoint: Checkpoint, utterance: Utterance) -> Anchor | None:
    """Published figures of `utterance` with this checkpoint, None if there are none."""
    try:
        anchors = read_anchors(default_root())
    except InputError:
        return None  # installed without a checkout: there are no goldens
    anchor = find_anchor(anchors, checkpoint.params, checkpoint.voices())
    said = {"text": utterance.text, "seed": utterance.seed}
    said["voice"] = utterance.voice or DEFAULT_VOICE
    if anchor is None or any(anchor.request[name] != value for name, value in said.items()):
        return None
    return anchor


def judge_against_eager(speaker: Speaker, speech: Speech, eager: Speech) -> list[Verdict]:
    """Codes frame by frame, and the sound of the frames that both have."""
    parity = speaker.parity
    codes = judge_decisions(
        SUBJECT,
        "codes, free-running",
        decisions(speech),
        decisions(eager),
        TIES[parity.allowance],
    )
    return [codes, judge_sound(speaker, speech.codes, speech.waveform, eager)]


def judge_sound(speaker: Speaker, codes: Array, waveform: Array, eager: Speech) -> Verdict:
    """The waveform against eager's, over the frames before the first that differs.

    The codec is causal: what follows them cannot be heard in them.
    """
    parity = speaker.parity
    (codec,) = select_methods(["codec"])
    common = common_frames(codes, eager.codes)
    case = "waveform, free-running"
    if not common:
        summary = "nothing was compared: the first frames differ"
        return Verdict(SUBJECT, case, "waveform", Status.UNJUDGED, summary)
    samples = common * parity.checkpoint.config.downsample_factor
    return judge_waveform(
        SUBJECT,
        case,
        waveform[:samples],
        eager.waveform[:samples],
        codec.allowances[parity.allowance],
        parity.sizes.sampling_rate,
    )


def judge_stream(speaker: Speaker, codes: Array) -> Verdict:
    """The same codes in the runner's chunks and offline, on this executor's codec.

    A short speech is said over and over, since its first chunks begin where it begins: only
    later ones are cropped at a seam.
    """
    parity = speaker.parity
    (codec,) = select_methods(["codec"])
    config, codec_frames = parity.checkpoint.config, parity.sizes.max_codec_frames
    frames = max(codes.shape[1], min(codec_frames, _STREAMED))
    codes = np.tile(codes, -(-frames // codes.shape[1]))[:, :frames]
    chunks = speaker.chunks
    longest = max(window.end - window.start for window in stream_windows(frames, chunks))
    if longest > codec_frames:
        # The runner would refuse to stream this; chunks that fit show the same faults.
        chunks = dataclasses.replace(chunks, following=codec_frames - chunks.left_context)
    streamed = decode_streaming(speaker.run, config, codes, codec_frames, chunks)
    offline = decode_codes(speaker.run, config, codes, codec_frames)
    verdict = judge_streaming(
        SUBJECT,
        "streaming ≡ offline",
        streamed,
        offline,
        codec.allowances[parity.allowance],
        frame_samples=config.downsample_factor,
        poor_frames=poor_frames(frames, codec_frames, chunks, codec_lookback(parity.checkpoint)),
    )
    told = (
        f"{frames} frames in chunks of {chunks.initial}, then {chunks.following}, "
        f"after {chunks.left_context} of context."
    )
    return dataclasses.replace(verdict, notes=(*verdict.notes, told))


def poor_frames(frames: int, codec_frames: int, chunks: Chunks, lookback: int) -> list[int]:
    """Frames to which offline windows or a stream's give less context than the codec looks back."""
    poor = set()
    for start in range(codec_frames, frames, codec_frames):  # offline windows have none
        poor |= set(range(start, min(frames, start + lookback)))
    for window in stream_windows(frames, chunks):
        if window.start:
            poor |= set(range(window.new, min(window.end, window.start + lookback)))
    return sorted(poor)


def judge_repeat(first: Speech, again: Speech) -> Verdict:
    """Whether the same wish gave the same bytes twice: decisions, waveform and WAV."""
    pairs = (
        ("codes", first.codes, again.codes),
        ("semantic margins", first.argmax_margins, again.argmax_margins),
        ("acoustic margins", first.rounding_margins, again.rounding_margins),
        ("samples", first.waveform, again.waveform),
        ("16-bit codes", to_pcm16(first.waveform), to_pcm16(again.waveform)),
    )
    return judge_equal("said twice", pairs)


def judge_equal(case: str, pairs: Sequence[tuple[str, Array, Array]]) -> Verdict:
    """Whether arrays of two speeches that should be the same one are equal, byte for byte."""
    different = [name for name, a, b in pairs if a.shape != b.shape or a.tobytes() != b.tobytes()]
    elements = sum(a.size for _, a, _ in pairs)
    gate = Gate("arrays that differ", len(different), 0, "arrays")
    if different:
        summary = f"the same wish twice gave other {', '.join(different)}"
    else:
        summary = f"the same bits twice: {words.count(elements, 'number')} in all"
    status = Status.FAIL if different else Status.PASS
    return Verdict(SUBJECT, case, "repeat", status, summary, {}, (gate,), elements)
