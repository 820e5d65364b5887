"""A recogniser under its name, and the verdict on what it hears in a sound."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.asr.judge import judge_words, speaks
from harness.asr.recognisers import Recogniser, recogniser
from harness.compare.verdict import Status, Verdict
from harness.synthesis.wav import read_audio, write_audio

__all__ = ["SYNTHETIC", "Transcriber"]

SYNTHETIC = (
    "the checkpoint is synthetic: its random weights speak no words, so --asr cannot pass; "
    "name a real checkpoint"
)


@dataclass(frozen=True)
class Transcriber:
    """A recogniser, and what it is called."""

    engine: str
    recognise: Recogniser

    @classmethod
    def of(cls, engine: str | None, command: str | None = None) -> Transcriber | None:
        """The one that ``--asr`` and ``--asr-command`` name, by `recogniser`; None if none."""
        if engine is None and command is None:
            return None
        return cls(engine or "command", recogniser(engine or "", command))

    def judge(
        self, codes: NDArray[np.int16], sampling_rate: int, text: str, *, synthetic: bool = False
    ) -> Verdict:
        """Judge what is heard in 16-bit codes against `text`; see `judge_file`."""
        with tempfile.TemporaryDirectory(prefix="voxtral-parity-") as directory:
            path = Path(directory) / "speech.wav"
            write_audio(path, codes, sampling_rate)
            return self.judge_file(path, text, synthetic=synthetic)

    def judge_file(self, path: Path, text: str, *, synthetic: bool = False) -> Verdict:
        """Judge what is heard in a mono WAV or FLAC file against `text`.

        What cannot be speech is not given to the recogniser, which would make words of silence
        and of hum. Where random weights spoke (`synthetic`), a failed verdict says so.

        Raises
        ------
        InputError
            The file cannot be read.
        MachineError, UnavailableError
            The recogniser failed.
        """
        samples, rate = read_audio(path)
        transcript = self.recognise(path) if speaks(samples, rate) else None
        verdict = judge_words(text, transcript, self.engine)
        heard = {} if transcript is None else {"heard": transcript.strip()}
        told = synthetic and verdict.status is Status.FAIL
        notes = (f"T{SYNTHETIC[1:]}.",) if told else ()
        return dataclasses.replace(verdict, metrics={**verdict.metrics, **heard}, notes=notes)
