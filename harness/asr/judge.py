"""Word error rate of a transcript, and whether the sound holds speech at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.arrays import Array
from harness.asr.normalise import normalise
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.compare.waveforms import signal_of

__all__ = ["Errors", "judge_words", "speaks", "word_errors"]

_FRAME_SECONDS = 0.02
_AUDIBLE_DBFS = -50.0
_LEAST_SECONDS = 0.1
"""Of audible sound: shorter than the shortest word."""
_LEAST_SPREAD_DB = 3.0
"""Between loud and soft frames: syllables make far more, a tone or steady noise less."""


@dataclass(frozen=True)
class Errors:
    """Words that are other ones, that were not heard, that nobody said; and words of the text."""

    substituted: int
    missing: int
    extra: int
    words: int

    @property
    def rate(self) -> float:
        """Word error rate; may exceed 1."""
        return (self.substituted + self.missing + self.extra) / self.words


def word_errors(said: Sequence[str], heard: Sequence[str]) -> Errors:
    """The fewest errors that turn `said` into `heard`."""
    # Each cell: (errors, substituted, missing, extra) of a prefix of both.
    row: list[tuple[int, ...]] = [(j, 0, 0, j) for j in range(len(heard) + 1)]
    for i, word in enumerate(said, 1):
        above, row = row, [(i, 0, i, 0)]
        for j, other in enumerate(heard, 1):
            wrong = int(word != other)
            ways = ((above[j - 1], (wrong, wrong, 0, 0)), (above[j], (1, 0, 1, 0)),
                    (row[j - 1], (1, 0, 0, 1)))  # fmt: skip
            row.append(min(tuple(map(sum, zip(*way, strict=True))) for way in ways))
    _, substituted, missing, extra = row[-1]
    return Errors(substituted, missing, extra, len(said))


def speaks(x: Array, sample_rate: int) -> bool:
    """Whether a sound can be speech: long enough, loud enough, and rising and falling.

    Recognisers make words of silence and of hum; this is asked first. `x` is float with full
    scale ±1, or int16 codes; `sample_rate` in Hz.
    """
    signal = signal_of(x)
    length = round(_FRAME_SECONDS * sample_rate)
    frames = signal[: signal.size // length * length].reshape(-1, length)
    if not len(frames):
        return False
    levels = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
    soft, loud = np.percentile(levels, [10, 90])
    seconds = (levels > _AUDIBLE_DBFS).sum() * _FRAME_SECONDS
    return bool(seconds >= _LEAST_SECONDS and loud - soft >= _LEAST_SPREAD_DB)


def judge_words(
    text: str, transcript: str | None, engine: str, *, allowed: float = 0.25
) -> Verdict:
    """Judge what was heard against what should have been said.

    Parameters
    ----------
    transcript
        What `engine` heard; None if the sound holds no speech.
    allowed
        Word error rate that passes. A recogniser errs too: see where it is chosen.
    """
    said, heard = normalise(text), normalise(transcript or "")
    case = f"words by {engine}"
    metrics: dict[str, Metric] = {"text": " ".join(said)}
    if not said:
        summary = f"{text!r} has no words to listen for"
        return Verdict("speech", case, "words", Status.UNJUDGED, summary, metrics)
    errors = word_errors(said, heard)
    metrics |= {
        "transcript": " ".join(heard),
        "substituted": errors.substituted,
        "missing": errors.missing,
        "extra": errors.extra,
    }
    gate = Gate("word error rate", errors.rate, allowed)
    if transcript is None:
        summary = "no speech: the sound is too short, too soft or too steady for any"
    elif not heard:
        summary = "no speech was recognised"
    else:
        summary = (
            f"heard {' '.join(heard)!r}: {errors.substituted} substituted, {errors.missing} "
            f"missing, {errors.extra} extra of {errors.words} words, {errors.rate:.2f} of "
            f"{allowed:.2f} allowed"
        )
    status = Status.PASS if gate.passed and heard else Status.FAIL
    return Verdict("speech", case, "words", status, summary, metrics, (gate,), len(said))
