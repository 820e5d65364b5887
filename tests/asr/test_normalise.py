"""Spellings of the same words."""

from __future__ import annotations

import pytest

from harness.asr.normalise import normalise, spell


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, how are you today?", "hello how are you today"),
        ("HELLO -- how are  you\ntoday!", "hello how are you today"),
        ("Don’t 'quote' me", "don't quote me"),
        ("I have 3 cats & 21 dogs", "i have three cats and twenty one dogs"),
        ("1,250 at 3.05", "one thousand two hundred fifty at three point zero five"),
        ("the 1st, 2nd, 12th and 20th", "the first second twelfth and twentieth"),
        ("50%", "fifty percent"),
        ("well-known e-mail", "well known e mail"),
        ("Ünïcode façade", "ünïcode façade"),
        ("MP3 player", "mp3 player"),
        ("9" * 13, " ".join(["nine"] * 13)),
        ("🎧 … !", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    assert normalise(text) == words.split()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (19, "nineteen"),
        (80, "eighty"),
        (105, "one hundred five"),
        (2026, "two thousand twenty six"),
        (1_000_000, "one million"),
        (999_999_999_999, "nine hundred ninety nine billion nine hundred ninety nine million "
         "nine hundred ninety nine thousand nine hundred ninety nine"),
    ],
)  # fmt: skip
def test_numbers(number: int, words: str) -> None:
    assert spell(number) == words
