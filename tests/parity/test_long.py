"""Speech that fills the KV cache and needs several windows of the codec, as eager says it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.compare import Status
from harness.parity import Request
from harness.parity.artifacts import export
from harness.parity.check import open_models
from harness.parity.judge import judge
from harness.parity.observe import _stream, observe
from harness.parity.plan import resolve
from harness.parity.record import follow_codes, record
from harness.runtime.pair import ArtifactPair
from harness.runtime.select import choose
from harness.synthesis import RUNNER_CHUNKS, stream_windows


@pytest.mark.parametrize("codec_frames", [1, 4, 5, 7, 25, 26, 40, 49, 50, 64, 65, 256])
def test_what_is_streamed_fits_the_codec(codec_frames: int) -> None:
    codes, chunks = _stream(np.zeros((37, 14), np.int64), RUNNER_CHUNKS, codec_frames, lookback=15)
    windows = stream_windows(codes.shape[1], chunks)
    assert 0 < max(window.end - window.start for window in windows) <= codec_frames
    assert chunks.left_context == RUNNER_CHUNKS.left_context


@pytest.mark.slow
def test_a_full_cache_ends_speech_in_windows_as_eager_does() -> None:
    """`tiny` with a codec of 7 frames and a KV cache that ends before the sentence does."""
    request = Request(executor="portable", max_seq_len=36, max_codec_frames=7)
    models = open_models(request)
    plan = resolve(request, models.checkpoint)
    # `check` ends speech with the codec's first window; `synth` does not.
    plan = dataclasses.replace(
        plan, utterance=dataclasses.replace(plan.utterance, max_new_tokens=99)
    )
    evidence, artifacts = record(plan, models), export(plan, models)
    with ArtifactPair(artifacts.paths, lambda: choose("portable", None)) as run:
        observation = observe(plan, evidence, artifacts, run)
    speech = observation.speech

    assert speech is not None
    said = speech.first
    assert said.codes.shape[1] == 36 - evidence.prompt.ids.shape[1] - 1
    assert said.codes.shape[1] > 7
    assert not said.ended
    evidence = follow_codes(plan, evidence, models, said.codes, said.ended)
    verdicts = judge(plan, evidence, artifacts, observation)
    assert {v.status for v in verdicts if v.subject == "speech"} == {Status.PASS}

    late = dataclasses.replace(said, waveform=np.roll(said.waveform, 1920))
    observation = dataclasses.replace(observation, speech=dataclasses.replace(speech, first=late))
    verdicts = judge(plan, evidence, artifacts, observation)
    (sound,) = (v for v in verdicts if v.case == "waveform, free-running")
    assert sound.status is Status.FAIL
