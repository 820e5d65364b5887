"""Listen to a WAV file and judge the words in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness.compare.verdict import Verdict
from harness.synthesis.wav import read_wav
from harness.words.judge import judge_words, speaks
from harness.words.recognisers import Recogniser

__all__ = ["judge_wav"]


def judge_wav(path: Path, text: str, engine: str, recogniser: Recogniser) -> Verdict:
    """Judge what `recogniser`, called `engine`, hears in a WAV file against `text`.

    What cannot be speech is not given to it: recognisers make words of silence and of hum.

    Raises
    ------
    InputError
        The file cannot be read.
    ExecutionError, UnavailableError
        The recogniser failed.
    """
    codes, rate = read_wav(path)
    transcript = recogniser(path) if speaks(codes, rate) else None
    verdict = judge_words(text, transcript, engine)
    if transcript is None:
        return verdict
    return dataclasses.replace(verdict, metrics={**verdict.metrics, "heard": transcript.strip()})
