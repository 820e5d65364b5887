"""Recognisers on speech that espeak-ng made (`fixtures/speech/make.sh`)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fixtures
from harness.asr import Recogniser, judge_words, recogniser, speaks
from harness.asr import recognisers as room
from harness.compare import Status
from harness.errors import InputError, MachineError, UnavailableError
from harness.synthesis.wav import read_wav, write_audio

SPEECH = Path(fixtures.__file__).parent / "speech"
HELLO, YESTERDAY = SPEECH / "hello.wav", SPEECH / "yesterday.wav"


@pytest.fixture(scope="module")
def sphinx() -> Recogniser:
    return recogniser("pocketsphinx")


def test_speech_is_heard(sphinx: Recogniser) -> None:
    verdict = judge_words("Hello, how are you today?", sphinx(HELLO), "pocketsphinx")
    assert verdict.status is Status.PASS


def test_another_sentence_fails(sphinx: Recogniser, tmp_path: Path) -> None:
    codes, rate = read_wav(YESTERDAY)
    # at the rate of the model, which has to be resampled
    from scipy.signal import resample_poly

    write_audio(tmp_path / "y.wav", resample_poly(codes / 32767, 3, 2), rate * 3 // 2)
    heard = sphinx(tmp_path / "y.wav")
    assert judge_words("He was here yesterday.", heard, "pocketsphinx").status is Status.PASS
    assert judge_words("Hello, how are you today?", heard, "pocketsphinx").status is Status.FAIL


def test_the_fixtures_are_speech() -> None:
    assert all(speaks(*read_wav(path)) for path in (HELLO, YESTERDAY))


def test_a_command_hears_what_it_prints() -> None:
    script = f"{sys.executable} -c \"import sys; print('hello', sys.argv[1][-9:], sys.argv[2:])\""
    assert recogniser("command", script + " {} x")(HELLO) == "hello hello.wav ['x']\n"
    assert recogniser("command", script)(HELLO) == "hello hello.wav []\n"


@pytest.mark.parametrize(
    ("script", "error", "complaint"),
    [
        ("import sys; sys.exit('no model')", MachineError, "exit code 1: no model"),
        ("import os; os.abort()", MachineError, "failed with exit code -6"),
        ("import time; time.sleep(9)", MachineError, "did not finish listening"),
    ],
)
def test_a_command_that_fails_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], complaint: str
) -> None:
    monkeypatch.setattr(room, "_SECONDS", 0.8)
    with pytest.raises(error, match=complaint):
        recogniser("command", f'{sys.executable} -c "{script}"')(HELLO)


def test_a_program_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="there is no program nowhere"):
        recogniser("command", "nowhere")(HELLO)


@pytest.mark.parametrize(
    ("engine", "command", "complaint"),
    [
        ("ear", None, "asr must be one of apple, pocketsphinx, whisper, command"),
        ("command", None, "go together"),
        ("apple", "x", "go together"),
        ("command", "", "is empty"),
        ("command", "a 'b", "cannot be read"),
    ],
)
def test_bad_input_is_refused(engine: str, command: str | None, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        recogniser(engine, command)


@pytest.mark.skipif("sys.platform == 'darwin'", reason="a Mac has it")
def test_apples_recogniser_is_unavailable_elsewhere() -> None:
    with pytest.raises(UnavailableError, match="needs macOS"):
        recogniser("apple")


def test_whisper_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install mlx-whisper"):
        recogniser("whisper")
    with pytest.raises(UnavailableError, match="pip install pocketsphinx"):
        recogniser("pocketsphinx")
