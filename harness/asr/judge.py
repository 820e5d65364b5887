"""Word error rate of a transcript, and whether the sound holds speech at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.arrays import Array
from harness.asr.normalise import normalise
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.compare.waveforms import signal_of

__all__ = ["judge_words", "speaks", "word_errors"]

_FRAME_SECONDS = 0.02
_AUDIBLE_DBFS = -50.0
_LEAST_SECONDS = 0.1
"""Of audible sound: shorter than the shortest word."""
_LEAST_SPREAD_DB = 3.0
"""Between loud and soft frames: syllables make far more, a tone or steady noise less."""


def word_errors(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int, int]:
    """Words that are others, were not heard, or nobody said: the fewest that explain `heard`."""
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
    return substituted, missing, extra


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
    errors = dict(zip(("substituted", "missing", "extra"), word_errors(said, heard), strict=True))
    metrics |= {"transcript": " ".join(heard), **errors}
    rate = sum(errors.values()) / len(said)  # may exceed 1
    gate = Gate("word error rate", rate, allowed)
    if transcript is None:
        summary = "no speech: the sound is too short, too soft or too steady for any"
    elif not heard:
        summary = "no speech was recognised"
    else:
        told = ", ".join(f"{count} {kind}" for kind, count in errors.items())
        summary = (
            f"heard {' '.join(heard)!r}: {told} of {len(said)} words, {rate:.2f} of "
            f"{allowed:.2f} allowed"
        )
    status = Status.PASS if gate.passed and heard else Status.FAIL
    return Verdict("speech", case, "words", status, summary, metrics, (gate,), len(said))
