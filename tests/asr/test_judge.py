"""Word errors, and what is no speech."""

from __future__ import annotations

import numpy as np
import pytest

from harness.asr import judge_words, speaks, word_errors
from harness.compare import Status

RATE = 24000
TEXT = "Hello, how are you today?"


@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        ("hello how are you today", (0, 0, 0)),
        ("hello how is you today", (1, 0, 0)),
        ("hello how you today", (0, 1, 0)),
        ("oh hello how are you today", (0, 0, 1)),
        ("", (0, 5, 0)),
        ("something else entirely was being said here", (5, 0, 2)),
    ],
)
def test_errors_are_counted_by_kind(heard: str, errors: tuple[int, int, int]) -> None:
    assert word_errors(["hello", "how", "are", "you", "today"], heard.split()) == errors


def test_the_right_words_pass() -> None:
    verdict = judge_words(TEXT, "Hello how are you today", "ear", allowed=0.0)
    assert verdict.status is Status.PASS
    assert verdict.case == "words by ear"


def test_one_wrong_word_of_five_is_allowed_a_quarter_of_them() -> None:
    assert judge_words(TEXT, "hello how are you to day", "ear").status is Status.FAIL
    verdict = judge_words(TEXT, "yellow how are you today", "ear")
    assert verdict.status is Status.PASS
    assert verdict.gates[0].value == 0.2


def test_nothing_heard_is_no_speech_whatever_is_allowed() -> None:
    for transcript in (None, "", " ... "):
        verdict = judge_words(TEXT, transcript, "ear", allowed=5.0)
        assert verdict.status is Status.FAIL
        assert verdict.summary.startswith("no speech")


def test_a_text_without_words_is_not_judged() -> None:
    assert judge_words("🎧", "hello", "ear").status is Status.UNJUDGED


def test_speech_rises_and_falls() -> None:
    syllables = np.sin(np.arange(RATE) / RATE * 2 * np.pi * 4) ** 2
    voice = 0.3 * np.sin(np.arange(RATE) * 0.05) * syllables
    assert speaks(voice, RATE)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(RATE),
        np.full(RATE, 0.4),
        0.3 * np.sin(np.arange(RATE) * 0.05),
        0.05 * np.random.default_rng(1).standard_normal(RATE),
        0.001 * np.random.default_rng(1).standard_normal(RATE) * np.arange(RATE) / RATE,
        np.concatenate([0.5 * np.ones(500), np.zeros(RATE)]),
        np.ones(10),
    ],
    ids=["silence", "DC", "tone", "noise", "whisper", "click", "too short"],
)
def test_what_is_no_speech(sound: np.ndarray) -> None:
    assert not speaks(sound, RATE)
