"""An audio file and a recogniser, to a verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

import fixtures
from harness.asr import SYNTHETIC, Transcriber, recogniser
from harness.compare import Status
from harness.synthesis.wav import read_wav, write_audio

HELLO = Path(fixtures.__file__).parent / "speech" / "hello.wav"


def test_the_right_words_pass_and_others_fail() -> None:
    sphinx = Transcriber("pocketsphinx", recogniser("pocketsphinx"))
    right = sphinx.judge_file(HELLO, "Hello, how are you today?")
    wrong = sphinx.judge_file(HELLO, "He was here yesterday.")
    assert right.status is Status.PASS
    assert "how are you today" in str(right.metrics["heard"])
    assert wrong.status is Status.FAIL
    assert wrong.notes == ()


def test_speech_is_heard_in_a_flac_of_24_bits_at_another_rate(tmp_path: Path) -> None:
    from scipy.signal import resample_poly

    codes, rate = read_wav(HELLO)
    made = resample_poly(codes / 32767, 3, 2)
    soundfile.write(tmp_path / "h.flac", made, rate * 3 // 2, subtype="PCM_24")
    sphinx = Transcriber("pocketsphinx", recogniser("pocketsphinx"))
    verdict = sphinx.judge_file(tmp_path / "h.flac", "Hello, how are you today?")
    assert verdict.status is Status.PASS


def test_silence_is_no_speech_whatever_the_recogniser_makes_of_it(tmp_path: Path) -> None:
    write_audio(tmp_path / "silent.wav", np.zeros(24000, np.int16), 24000)
    transcriber = Transcriber("eager", lambda path: "hello")
    verdict = transcriber.judge_file(tmp_path / "silent.wav", "Hello")
    assert verdict.status is Status.FAIL
    assert verdict.summary.startswith("no speech")
    assert "heard" not in verdict.metrics


def test_a_failure_on_a_synthetic_checkpoint_says_that_it_cannot_pass() -> None:
    transcriber = Transcriber("other", lambda path: "something else")
    codes, rate = read_wav(HELLO)
    verdict = transcriber.judge(codes, rate, "Hello, how are you today?", synthetic=True)
    assert verdict.status is Status.FAIL
    assert verdict.notes == (SYNTHETIC.capitalize() + ".",)
    right = Transcriber("right", lambda path: "hello how are you today")
    assert right.judge(codes, rate, "Hello, how are you today?", synthetic=True).notes == ()
