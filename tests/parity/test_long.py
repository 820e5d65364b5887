"""Speech that fills the KV cache and needs several windows of the codec, as eager says it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.compare import Status
from harness.parity import Request, check
from harness.parity.judge import judge


@pytest.mark.slow
def test_a_full_cache_ends_speech_in_windows_as_eager_does() -> None:
    """`tiny` with a codec of 7 frames and a KV cache that ends before the sentence does."""
    checked = check(Request(executor="portable", max_seq_len=36, max_codec_frames=7))
    speech = checked.observation.speech

    assert speech is not None
    said = speech.first
    assert said.codes.shape[1] == 36 - checked.evidence.prompt.ids.shape[1] - 1
    assert said.codes.shape[1] > 7
    assert not said.ended
    assert {v.status for v in checked.verdicts if v.subject == "speech"} == {Status.PASS}

    late = dataclasses.replace(said, waveform=np.roll(said.waveform, 1920))
    observation = dataclasses.replace(
        checked.observation, speech=dataclasses.replace(speech, first=late)
    )
    verdicts = judge(checked.plan, checked.evidence, checked.artifacts, observation)
    (sound,) = (v for v in verdicts if v.case == "waveform, free-running")
    assert sound.status is Status.FAIL
