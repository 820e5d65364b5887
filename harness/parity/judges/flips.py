"""Which codes flip where products are formed as a GPU would form them (`--regime`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.arrays import Array
from harness.compare import Status, Verdict, words
from harness.compare.verdict import Metric
from harness.parity.judges.speech import SUBJECT
from harness.parity.observation import Spoken
from harness.synthesis.frames import END_AUDIO

__all__ = ["Flip", "first_flip", "judge_flips"]

_CASE, _KIND = "codes, emulated against not", "regime"


@dataclass(frozen=True)
class Flip:
    """A decision that is another one in an emulated regime.

    Attributes
    ----------
    frame, book
        Where; codebook 0 is the semantic code, END_AUDIO among them.
    codes
        What was said without the emulation, int64, shape (n_codebooks, frames).
    plain, emulated
        The code that was chosen, without the emulation and with it.
    """

    frame: int
    book: int
    codes: Array
    plain: int
    emulated: int


def first_flip(emulated: Spoken, plain: Spoken) -> Flip | None:
    """The first decision that differs; None if none does."""
    frames = min(emulated.codes.shape[1], plain.codes.shape[1])
    differ = emulated.codes[:, :frames] != plain.codes[:, :frames]
    if differ.any():
        frame, book = (int(i) for i in np.argwhere(differ.T)[0])
    elif emulated.codes.shape == plain.codes.shape and emulated.ended == plain.ended:
        return None
    else:
        frame, book = frames, 0
    chosen = [
        int(spoken.codes[book, frame]) if frame < spoken.codes.shape[1] else END_AUDIO
        for spoken in (plain, emulated)
    ]
    return Flip(frame, book, plain.codes, *chosen)


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
    flip = first_flip(emulated, plain)
    books, frames = plain.codes.shape
    metrics: dict[str, Metric] = {
        "regime": regime, "frames": emulated.codes.shape[1], "frames.plain": frames,
    }  # fmt: skip
    if flip is None:
        compared = words.count(plain.codes.size, "code")
        summary = f"in {regime}, all {compared} of {words.count(frames, 'frame')} are the same"
        return Verdict(SUBJECT, _CASE, _KIND, Status.PASS, summary, metrics, (), plain.codes.size)
    common, longest = sorted((frames, emulated.codes.shape[1]))
    differ = emulated.codes[:, :common] != plain.codes[:, :common]
    count = int(differ.sum()) + books * (longest - common)
    metrics |= {"differing": count, "first.frame": flip.frame, "first.codebook": flip.book}
    end = END_AUDIO if flip.book == 0 else None
    said = ["END_AUDIO" if c == end else str(c) for c in (flip.emulated, flip.plain)]
    summary = (
        f"in {regime}, {count:,} of {words.count(books * longest, 'code')} differ, the first at "
        f"frame {flip.frame}, codebook {flip.book}: {said[0]} for {said[1]}"
    )
    notes = (
        _decision(plain, flip.frame, flip.book),
        "From there on, each speech has its own history.",
    )
    return Verdict(
        SUBJECT, _CASE, _KIND, Status.UNJUDGED, summary, metrics, (), books * longest, notes
    )


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
