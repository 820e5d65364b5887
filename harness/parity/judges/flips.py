"""Which codes flip where products are formed as a GPU would form them (`--regime`)."""

from __future__ import annotations

import numpy as np

from harness.arrays import Array
from harness.compare import Status, Verdict, words
from harness.compare.verdict import Metric
from harness.parity.judges.speech import SUBJECT
from harness.parity.observation import Spoken

__all__ = ["judge_flips"]

_CASE, _KIND = "codes, emulated against not", "regime"


def judge_flips(regime: str, emulated: Spoken, plain: Spoken) -> Verdict:
    """Free-running codes in an emulated regime beside those without it.

    Parameters
    ----------
    regime
        Its name.
    emulated, plain
        The same utterance, said by the same programs.

    Returns
    -------
    Verdict
        *pass* if not one code differs; else *unjudged*, since nobody knows how many may, with the
        first decision that does: from there on, both have histories of their own.
    """
    frames = min(emulated.codes.shape[1], plain.codes.shape[1])
    longest = max(emulated.codes.shape[1], plain.codes.shape[1])
    books = plain.codes.shape[0]
    differ = emulated.codes[:, :frames] != plain.codes[:, :frames]
    count = int(differ.sum()) + books * (longest - frames)
    metrics: dict[str, Metric] = {
        "regime": regime,
        "frames": emulated.codes.shape[1],
        "frames.plain": plain.codes.shape[1],
        "differing": count,
    }
    if not count and emulated.ended == plain.ended:
        compared = words.count(plain.codes.size, "code")
        summary = f"in {regime}, all {compared} of {words.count(frames, 'frame')} are the same"
        return Verdict(SUBJECT, _CASE, _KIND, Status.PASS, summary, metrics, (), plain.codes.size)
    frame, book = _first(differ)
    metrics |= {"first.frame": frame, "first.codebook": book}
    ends = frame == frames
    said = [
        "END_AUDIO" if ends and frame >= spoken.codes.shape[1] else str(spoken.codes[book, frame])
        for spoken in (plain, emulated)
    ]
    summary = (
        f"in {regime}, {count:,} of {words.count(books * longest, 'code')} differ, the first at "
        f"frame {frame}, codebook {book}: {said[1]} for {said[0]}"
    )
    notes = [_decision(plain, frame, book), "From there on, each speech has its own history."]
    return Verdict(
        SUBJECT, _CASE, _KIND, Status.UNJUDGED, summary, metrics, (), books * longest, tuple(notes)
    )


def _first(differ: Array) -> tuple[int, int]:
    """Frame and codebook of the first code that differs; behind the last frame if none does."""
    if not differ.any():
        return differ.shape[1], 0
    frame, book = np.argwhere(differ.T)[0]
    return int(frame), int(book)


def _decision(plain: Spoken, frame: int, book: int) -> str:
    """Who takes the decision, and how near it was to another."""
    who = "predict_velocity" if book else "text_decoder or semantic_head"
    what, unit = ("a value is rounded", "levels") if book else ("a logit is the greatest", "logits")
    margins = plain.margins.get(who)
    if margins is None:
        return f"It is a decision of {who}: {what}."
    margin = float(margins[book - 1, frame] if book else margins[frame])
    return (
        f"It is a decision of {who}: {what}. Without the emulation it was {words.number(margin)} "
        f"{unit} away from another."
    )
