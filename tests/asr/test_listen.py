"""A WAV file and a recogniser, to a verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import fixtures
from harness.asr import judge_wav, recogniser
from harness.compare import Status
from harness.synthesis.wav import write_pcm

HELLO = Path(fixtures.__file__).parent / "speech" / "hello.wav"


def test_the_right_words_pass_and_others_fail() -> None:
    sphinx = recogniser("pocketsphinx")
    right = judge_wav(HELLO, "Hello, how are you today?", "pocketsphinx", sphinx)
    wrong = judge_wav(HELLO, "He was here yesterday.", "pocketsphinx", sphinx)
    assert right.status is Status.PASS
    assert "how are you today" in str(right.metrics["heard"])
    assert wrong.status is Status.FAIL


def test_silence_is_no_speech_whatever_the_recogniser_makes_of_it(tmp_path: Path) -> None:
    write_pcm(tmp_path / "silent.wav", np.zeros(24000, np.int16), 24000)
    verdict = judge_wav(tmp_path / "silent.wav", "Hello", "ear", lambda path: "hello")
    assert verdict.status is Status.FAIL
    assert verdict.summary.startswith("no speech")
    assert "heard" not in verdict.metrics
