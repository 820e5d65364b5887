"""Speech that fills the KV cache and needs several windows of the codec, as eager says it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from harness.parity.whole import judge_against_eager

from harness.compare import Status
from harness.parity import Parity, Request
from harness.parity.speaking import Speaker, Utterance


@pytest.fixture(scope="module")
def cramped() -> Parity:
    """`tiny` with a codec of 7 frames and a KV cache that ends before the sentence does."""
    return Parity(Request(executor="portable", max_seq_len=40, max_codec_frames=7))


@pytest.mark.slow
def test_a_full_cache_ends_speech_in_windows_as_eager_does(cramped: Parity) -> None:
    wish = Utterance()
    spoken = Speaker(cramped).say(wish)
    eager = Speaker(cramped, eager=True).say(wish)

    codes, sound = judge_against_eager(Speaker(cramped), spoken, eager)

    prompt = len(spoken.prompt_ids)
    assert spoken.frames == 40 - prompt - 1
    assert spoken.frames > 7
    assert not spoken.ended
    assert (codes.status, sound.status) == (Status.PASS, Status.PASS)
    late = dataclasses.replace(eager, waveform=np.roll(eager.waveform, 1920))
    assert judge_against_eager(Speaker(cramped), spoken, late)[1].status is Status.FAIL
