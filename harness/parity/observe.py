"""Plan, Evidence, Artifacts → Observation: run every case on an executor, then let it speak.

Each method is fed eager's own inputs at every call (teacher forcing), so that one flipped code
cannot cascade.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from harness.arrays import Array
from harness.errors import ExecutionError, HarnessError
from harness.methods import MODEL, Method
from harness.methods.cases import Case
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import Evidence
from harness.parity.observation import (
    By,
    CaseObservation,
    Observation,
    Refusal,
    Spoken,
    SpokenTwice,
)
from harness.parity.plan import Plan
from harness.runtime.pair import ArtifactPair
from harness.runtime.protocol import Executor
from harness.synthesis import (
    Chunks,
    Limits,
    Runner,
    Speech,
    codec_lookback,
    decode_codes,
    decode_streaming,
    speak,
    stream_windows,
)

__all__ = ["guarded", "observe", "replay", "say"]

T = TypeVar("T")

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
    for method in plan.selected:
        facts = artifacts.files[method.artifact].facts
        if facts is None or method.entry not in facts.methods:
            continue  # not in the file: judged as such
        progress(f"running {method.name}")
        executor = run.executor(method.artifact)
        cases[method.name] = {
            item.case.label: _observe_case(plan, method, item.case, executor)
            for item in evidence.cases[method.name]
        }
    observation = Observation(run.fingerprint, cases)
    if not plan.speaks or not artifacts.whole:
        return observation
    progress("speaking by itself, twice")
    spoken = guarded(lambda: _speak_twice(plan, evidence, artifacts.chunks, run))
    if isinstance(spoken, Refusal):
        return dataclasses.replace(observation, speech_refusal=spoken)
    return dataclasses.replace(observation, speech=spoken)


def guarded(work: Callable[[], T]) -> T | Refusal:
    """What `work` returns, or who refused.

    Only an `ExecutionError` is the program's own refusal. Whatever else goes wrong, faults of the
    harness included, says nothing of the program.
    """
    try:
        return work()
    except ExecutionError as error:
        return Refusal(By.PROGRAM, str(error), _notes(error))
    except HarnessError as error:
        return Refusal(By.HARNESS, str(error), _notes(error))
    except Exception as error:
        return Refusal(By.HARNESS, f"{type(error).__name__}: {error}")


def _notes(error: Exception) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


def replay(method: Method, case: Case, plan: Plan, executor: Executor) -> tuple[Array, ...]:
    """Make a case's calls in order, each state fresh at first; one output a call."""
    for state in dict.fromkeys(state for state, _ in case.in_states()):
        executor.reset(state)
    outputs = []
    for state, call in case.in_states():
        method.check_inputs(call, plan.sizes)
        (output,) = executor.call(method.entry, call, state=state)
        outputs.append(output)
    return tuple(outputs)


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


def _observe_case(plan: Plan, method: Method, case: Case, executor: Executor) -> CaseObservation:
    outputs = guarded(lambda: replay(method, case, plan, executor))
    if isinstance(outputs, Refusal):
        return CaseObservation(refusal=outputs)
    return CaseObservation(outputs)


def _speak_twice(plan: Plan, evidence: Evidence, chunks: Chunks, run: ArtifactPair) -> SpokenTwice:
    # A given file knows best which type its methods take.
    dtype = run.executor(MODEL).inputs("text_decoder")[0].dtype
    limits = dataclasses.replace(plan.limits, dtype=dtype)
    first, again = (say(run, plan, evidence, limits) for _ in range(2))
    codes, chunks = _stream(first.codes, chunks, limits.codec_frames, codec_lookback(plan.config))
    return SpokenTwice(
        _spoken(first),
        _spoken(again),
        codes,
        decode_streaming(run, plan.config, codes, limits.codec_frames, chunks),
        decode_codes(run, plan.config, codes, limits.codec_frames),
        chunks,
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
