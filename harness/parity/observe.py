"""Plan, Evidence, Artifacts → Observation: run every case on an executor, then let it speak.

Each method is fed eager's own inputs at every call (teacher forcing), so that one flipped code
cannot cascade.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from harness.arrays import Array
from harness.errors import ExecutionError
from harness.methods import MODEL
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import Evidence
from harness.parity.links import observe_local
from harness.parity.observation import (
    CaseObservation,
    LocalObservation,
    Observation,
    Refusal,
    Spoken,
    SpokenTwice,
)
from harness.parity.plan import Plan
from harness.parity.replay import guarded, observe_case
from harness.runtime.pair import ArtifactPair
from harness.runtime.protocol import Watchable
from harness.synthesis import (
    Chunks,
    Limits,
    Recorder,
    Runner,
    Speech,
    codec_lookback,
    decode_codes,
    decode_streaming,
    speak,
    stream_windows,
)

__all__ = ["limits_of", "observe", "say", "say_once"]

_STREAMED = 64
"""Frames that are streamed at least, if the codec takes as many at once."""


def observe(
    plan: Plan,
    evidence: Evidence,
    artifacts: Artifacts,
    run: ArtifactPair,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> Observation:
    """What an executor does with the artifacts.

    Parameters
    ----------
    plan, evidence, artifacts
        What to run, on which inputs.
    run
        The executors that load the artifacts when they are first asked for.
    progress
        Called with one line a step.

    Raises
    ------
    HarnessError
        An executor cannot load a file.
    """
    cases: dict[str, dict[str, CaseObservation]] = {}
    local: dict[str, LocalObservation] = {}
    for method in plan.selected:
        facts = artifacts.files[method.artifact].facts
        if facts is None or method.entry not in facts.methods:
            continue  # not in the file: judged as such
        progress(f"running {method.name}")
        executor = run.executor(method.artifact)
        cases[method.name] = {
            item.case.label: observe_case(plan, method, item.case, executor)
            for item in evidence.cases[method.name]
        }
        if isinstance(executor, Watchable):
            progress(f"watching the steps of {method.name}")
            items, outputs = evidence.cases[method.name], cases[method.name]
            local[method.name] = observe_local(plan, method, items, executor, outputs)
    observation = Observation(run.fingerprint, cases, local=local)
    if not plan.speaks or not artifacts.whole:
        return observation
    progress("speaking by itself, twice")
    spoken = guarded(lambda: _speak_twice(plan, evidence, artifacts.chunks, run))
    if isinstance(spoken, Refusal):
        return dataclasses.replace(observation, speech_refusal=spoken)
    return dataclasses.replace(observation, speech=spoken)


def say(run: Runner, plan: Plan, evidence: Evidence, limits: Limits) -> Speech:
    """Say the plan's utterance with the methods of `run`, offline.

    Raises
    ------
    ExecutionError
        Speech ends before its first frame.
    """
    speech = speak(run, plan.config, evidence.prompt, plan.utterance, limits)
    if not speech.frames:
        raise ExecutionError("no audio: END_AUDIO was chosen before the first frame")
    return speech


def limits_of(plan: Plan, run: ArtifactPair) -> Limits:
    """What the artifacts take; a given file knows best which type its methods take."""
    dtype = run.executor(MODEL).inputs("text_decoder")[0].dtype
    return dataclasses.replace(plan.limits, dtype=dtype)


def say_once(plan: Plan, evidence: Evidence, run: ArtifactPair) -> Spoken:
    """The plan's utterance, said by the artifacts."""
    return _spoken(say(run, plan, evidence, limits_of(plan, run)))


def _speak_twice(plan: Plan, evidence: Evidence, chunks: Chunks, run: ArtifactPair) -> SpokenTwice:
    first, again = (say_once(plan, evidence, run) for _ in range(2))
    frames = plan.limits.codec_frames
    codes, chunks = _stream(first.codes, chunks, frames, codec_lookback(plan.config))
    recorder = Recorder(run)
    return SpokenTwice(
        first,
        again,
        codes,
        decode_streaming(recorder, plan.config, codes, frames, chunks),
        decode_codes(run, plan.config, codes, frames),
        chunks,
        tuple(call.inputs[0] for call in recorder.calls("codec")),
    )


def _spoken(speech: Speech) -> Spoken:
    margins = {
        "text_decoder or semantic_head": speech.argmax_margins,
        "predict_velocity": speech.rounding_margins,
    }
    return Spoken(speech.codes, speech.ended, speech.waveform, margins)


def _stream(codes: Array, chunks: Chunks, codec_frames: int, lookback: int) -> tuple[Array, Chunks]:
    """What to stream, in which chunks: a short speech over and over, in windows that fit the codec.

    The first chunks begin where the speech begins: only later ones are cropped at a seam. A codec
    of few frames also decodes a second window offline, with frames that have all of their context
    in it. One that takes no more frames than a chunk's context streams only what one call takes.
    """
    if codec_frames <= chunks.left_context:
        frames = codec_frames
    else:
        frames = max(codes.shape[1], min(codec_frames, _STREAMED))
        if codec_frames <= _STREAMED:
            frames = max(frames, codec_frames + lookback + 5)
    longest = max(window.end - window.start for window in stream_windows(frames, chunks))
    if longest > codec_frames:  # the runner would refuse; shorter ones show the same faults
        chunks = dataclasses.replace(chunks, following=codec_frames - chunks.left_context)
    return np.tile(codes, -(-frames // codes.shape[1]))[:, :frames], chunks
