"""Listen to a WAV file and judge the words in it."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.asr.judge import judge_words, speaks
from harness.asr.recognisers import Recogniser, recogniser
from harness.compare.verdict import Verdict
from harness.synthesis.wav import read_wav, write_pcm

__all__ = ["Ear", "judge_wav"]


@dataclass(frozen=True)
class Ear:
    """A recogniser, and what it is called."""

    engine: str
    recogniser: Recogniser

    @classmethod
    def of(cls, engine: str | None, command: str | None = None) -> Ear | None:
        """The one that ``--asr`` and ``--asr-command`` name; None if they name none.

        Raises
        ------
        InputError, UnavailableError
            See `recogniser`.
        """
        if engine is None and command is None:
            return None
        return cls(engine or "command", recogniser(engine or "", command))

    def judge(self, codes: NDArray[np.int16], sampling_rate: int, text: str) -> Verdict:
        """Judge what it hears in 16-bit codes against `text`; see `judge_wav`."""
        with tempfile.TemporaryDirectory(prefix="voxtral-parity-") as directory:
            path = Path(directory) / "speech.wav"
            write_pcm(path, codes, sampling_rate)
            return self.judge_file(path, text)

    def judge_file(self, path: Path, text: str) -> Verdict:
        """The same of a WAV file."""
        return judge_wav(path, text, self.engine, self.recogniser)


def judge_wav(path: Path, text: str, engine: str, listen: Recogniser) -> Verdict:
    """Judge what `listen`, called `engine`, hears in a WAV file against `text`.

    What cannot be speech is not given to it: recognisers make words of silence and of hum.

    Raises
    ------
    InputError
        The file cannot be read.
    ExecutionError, UnavailableError
        The recogniser failed.
    """
    codes, rate = read_wav(path)
    transcript = listen(path) if speaks(codes, rate) else None
    verdict = judge_words(text, transcript, engine)
    if transcript is None:
        return verdict
    return dataclasses.replace(verdict, metrics={**verdict.metrics, "heard": transcript.strip()})
