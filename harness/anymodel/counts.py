"""The verdict on outputs that are integers or truth values."""

from __future__ import annotations

from harness.arrays import Array
from harness.compare import Gate, Status, Verdict, words
from harness.compare.metrics import unravel

__all__ = ["DECIDED", "judge_counts"]

DECIDED = "decided by rounding"
"""The metric of an unjudged verdict: how many elements differ that rounding may have decided."""

_PROVED = (
    "In float64 the program equals the module, and each step of these calls computes what it "
    "means: rounding that is allowed decides these elements. Return what they are made from, too, "
    "and name them in `ignored`; or take an example without such ties."
)
_MOST = (
    "So nearly nothing was compared. Return what these integers are made from in their place; or "
    "take an example of which rounding decides less."
)


def judge_counts(
    subject: str,
    label: str,
    pairs: list[tuple[Array, Array]],
    exact: list[Array],
    proved: int,
    hidden: int = 0,
) -> Verdict:
    """Integers and truth values: equal, but where eager's own rounding decides.

    It decides an element that eager has otherwise in float64. The verdict is unjudged where more of
    these differ than there are others.

    Parameters
    ----------
    subject, label
        Of the verdict.
    pairs
        What the program made in each call, and what eager made.
    exact
        What the module makes in float64, one a call.
    proved
        In so many calls, the first ones, each step is known to compute what it means, in a program
        that means what the module means. An element that differs in these alone was decided by
        rounding that is allowed, before a floor or a comparison: which of two is right, nothing
        here can tell, and the verdict is unjudged.
    hidden
        How many elements are left out, with one value in `pairs` and `exact`.
    """
    unlike = [(c, r) for c, r in pairs if c.dtype != r.dtype or c.shape != r.shape]
    if unlike:
        (c, r), *_ = unlike
        summary = f"expected {r.dtype} {words.shape(r.shape)}, got {c.dtype} {words.shape(c.shape)}"
        return Verdict(subject, label, "tensor", Status.FAIL, summary)
    wrong, excused, free, elements, place, last = 0, 0, 0, -hidden, "", 0
    for number, (candidate, reference) in enumerate(pairs):
        differs = candidate != reference
        if number < len(exact) and exact[number].shape == reference.shape:
            open_to_rounding = exact[number] != reference
            free += int(open_to_rounding.sum())
            excused += int((differs & open_to_rounding).sum())
            differs = differs & ~open_to_rounding
        elements += reference.size
        wrong += int(differs.sum())
        last = number if differs.any() else last
        if differs.any() and not place:
            at = unravel(int(differs.argmax()), differs.shape)
            made, meant = candidate[at], reference[at]
            place = f", first {words.place((number, *at), called=True)}: {meant} expected, {made}"
    if not elements:
        return Verdict(subject, label, "tensor", Status.UNJUDGED, "nothing was compared")
    judged = words.count(elements - excused, "element")
    summary = f"{wrong:,} of {judged} differ{place}" if wrong else f"{judged}, all equal"
    status, notes, metrics = Status.FAIL if wrong else Status.PASS, [], {}
    if excused:
        differ = "element differs" if excused == 1 else "elements differ"
        notes.append(f"{excused:,} {differ} where eager's own rounding decides.")
    if wrong and last < proved:
        status, metrics = Status.UNJUDGED, {DECIDED: wrong + excused}
        notes.append(_PROVED)
    elif not wrong and excused > elements - free:
        status, metrics = Status.UNJUDGED, {DECIDED: excused}
        summary = f"eager's own rounding decides {free:,} of {words.count(elements, 'element')}"
        notes.append(_MOST)
    gate = Gate("unequal", wrong, 0, "elements")
    return Verdict(
        subject, label, "tensor", status, summary, metrics, (gate,), elements - excused,
        tuple(notes),
    )  # fmt: skip
