"""The whole path: green as it is, and red for faults that no method's verdict would see."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from harness.parity.whole import (
    decisions,
    judge_against_eager,
    judge_heard,
    judge_repeat,
    judge_stream,
    judge_whole_path,
    poor_frames,
)

from fixtures.exports import Line as Parity
from harness.arrays import Array
from harness.asr import Transcriber, transcriber
from harness.compare import Status, statistics, to_pcm16
from harness.errors import MachineError
from harness.golden import default_root
from harness.golden.anchor import read_anchors
from harness.parity.speaking import Speaker, Utterance
from harness.synthesis import Chunks, Runner, Speech

WISH = Utterance(max_new_tokens=6)


class Faulty:
    """A runner whose outputs of one method are changed; `state` counts its calls."""

    def __init__(self, runner: Runner, method: str, by: float = 0.0) -> None:
        self.runner, self.method, self.by, self.calls = runner, method, by, 0

    def reset(self, state: str = "default") -> None:
        self.runner.reset(state)

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        if method == self.method == "codec":
            # zeros where the last frame should be repeated
            inputs = [np.where(np.arange(inputs[0].shape[2]) % 7 == 6, 0, inputs[0])]
        outputs = self.runner.call(method, inputs, state=state)
        if method == self.method and self.by:
            self.calls += 1
            outputs = [outputs[0] + np.float32(self.by * self.calls)]
        return outputs


def faulty(parity: Parity, method: str, by: float = 0.0) -> Speaker:
    speaker = Speaker(parity)
    speaker.run = Faulty(speaker.run, method, by)
    return speaker


@pytest.fixture(scope="module")
def eager(parity: Parity) -> Speech:
    """Eager's first frames."""
    speech = parity.speech
    return dataclasses.replace(
        speech,
        codes=speech.codes[:, :6],
        ended=False,
        waveform=speech.waveform[: 6 * 1920],
        argmax_margins=speech.argmax_margins[:6],
        runners_up=speech.runners_up[:6],
        rounding_margins=speech.rounding_margins[:, :6],
    )


@pytest.fixture(scope="module")
def spoken(parity: Parity) -> Speech:
    return Speaker(parity).say(WISH)


def test_the_portable_executor_says_what_eager_says(parity: Parity, eager: Speech) -> None:
    verdicts = judge_whole_path(Speaker(parity), WISH, eager)
    assert [verdict.status for verdict in verdicts] == [Status.PASS] * 4
    assert [verdict.case for verdict in verdicts] == [
        "codes, free-running", "waveform, free-running", "streaming ≡ offline", "said twice",
    ]  # fmt: skip


def test_allowed_moves_are_within_ten_times_what_is_measured(
    parity: Parity, eager: Speech, spoken: Speech
) -> None:
    codes, _ = judge_against_eager(Speaker(parity), spoken, eager)
    assert all(0.005 <= gate.headroom_used <= 1 for gate in codes.gates)


def test_a_velocity_that_is_slightly_off_is_a_fault(parity: Parity, eager: Speech) -> None:
    speech = faulty(parity, "predict_velocity", 1e-4).say(WISH)
    codes, _ = judge_against_eager(Speaker(parity), speech, eager)
    assert codes.status is Status.FAIL


def test_a_windowed_codec_that_hears_its_padding_is_a_fault(parity: Parity, eager: Speech) -> None:
    verdict = judge_stream(faulty(parity, "codec"), eager.codes)
    assert verdict.status is Status.FAIL


def test_a_state_that_survives_is_a_fault(parity: Parity) -> None:
    wish = dataclasses.replace(WISH, max_new_tokens=2)
    speaker = faulty(parity, "text_decoder", 1e-6)
    first, again = speaker.say(wish), speaker.say(wish)
    verdict = judge_repeat(first, again)
    assert verdict.status is Status.FAIL
    assert "margins" in verdict.summary


def test_streaming_and_offline_say_the_same(parity: Parity, spoken: Speech) -> None:
    streamed = Speaker(parity).say(dataclasses.replace(WISH, streaming=True))
    assert np.array_equal(streamed.codes, spoken.codes)
    np.testing.assert_allclose(streamed.waveform, spoken.waveform, atol=1e-6)


def test_what_cannot_speak_is_a_failed_verdict(parity: Parity) -> None:
    wish = dataclasses.replace(WISH, text="word " * 300)
    (verdict,) = judge_whole_path(Speaker(parity), wish, None)
    assert verdict.status is Status.FAIL


def test_frames_at_offline_seams_and_short_contexts_are_poor() -> None:
    assert poor_frames(30, 40, Chunks(5, 25, 25), 15) == []
    assert poor_frames(70, 64, Chunks(5, 25, 25), 3) == [64, 65, 66]
    # windows start at 1, 5, 9: five frames back, of which one more than four is needed
    assert poor_frames(14, 40, Chunks(6, 4, 5), 6) == [6, 10]


def test_margins_and_codes_become_decisions(spoken: Speech) -> None:
    found = decisions(spoken)
    assert found.frames == 6
    assert not found.ended


def listening(words: str) -> Transcriber:
    return Transcriber("ear", lambda path: words)


@pytest.mark.parametrize(
    ("words", "status"),
    [("Hello how are you today", Status.PASS), ("Something else was said", Status.FAIL)],
)
def test_words_are_heard_in_the_sound_and_held_against_what_was_published(
    spoken: Speech, monkeypatch: pytest.MonkeyPatch, words: str, status: Status
) -> None:
    monkeypatch.setattr(transcriber, "speaks", lambda codes, rate: True)
    told = statistics(spoken.waveform, 24000, spoken.frames)
    (anchor,) = read_anchors(default_root())

    heard, published = judge_heard(to_pcm16(spoken.waveform), told, WISH, anchor, listening(words))

    assert heard.status is status
    (gate,) = (gate for gate in published.gates if gate.name == "transcript")
    assert gate.passed is (status is Status.PASS)
    assert published.metrics["transcript.new"] == words.lower()


def test_a_recogniser_that_fails_is_no_fault_of_the_speaker(
    spoken: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> str:
        raise MachineError("the recogniser failed")

    monkeypatch.setattr(transcriber, "speaks", lambda codes, rate: True)
    told = statistics(spoken.waveform, 24000, spoken.frames)
    deaf = Transcriber("ear", broken)
    (verdict,) = judge_heard(to_pcm16(spoken.waveform), told, WISH, None, deaf)
    assert verdict.status is Status.UNJUDGED
    assert verdict.summary == "the recogniser failed"


def test_the_whole_path_listens(parity: Parity) -> None:
    words, *_ = judge_whole_path(Speaker(parity), WISH, None, None, listening("Hello"))
    assert words.case == "words by ear"
