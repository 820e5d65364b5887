"""The verdict on outputs that are integers or truth values."""

from __future__ import annotations

from harness.arrays import Array
from harness.compare import Gate, Status, Verdict, words
from harness.compare.metrics import unravel

__all__ = ["judge_counts"]

_REMEDY = (
    "Return what they are made from, too, and name them in `ignored`; or take an example without "
    "such ties."
)
_DECIDED = (
    "In float64 the program equals the module, and each step of these calls computes what it "
    f"means: rounding that is allowed decides these elements. {_REMEDY}"
)


def judge_counts(
    subject: str, label: str, pairs: list[tuple[Array, Array]], exact: list[Array], proved: int
) -> Verdict:
    """Integers and truth values: equal, but where eager's own rounding decides.

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
    """
    unlike = [(c, r) for c, r in pairs if c.dtype != r.dtype or c.shape != r.shape]
    if unlike:
        (c, r), *_ = unlike
        summary = f"expected {r.dtype} {words.shape(r.shape)}, got {c.dtype} {words.shape(c.shape)}"
        return Verdict(subject, label, "tensor", Status.FAIL, summary)
    wrong, decided, left, elements, place, last = 0, 0, 0, 0, "", 0
    for number, (candidate, reference) in enumerate(pairs):
        differs = candidate != reference
        if number < len(exact) and exact[number].shape == reference.shape:
            open_to_rounding = exact[number] != reference
            decided += int((differs & open_to_rounding).sum())
            differs = differs & ~open_to_rounding
            left += int(open_to_rounding.sum())
        elements += reference.size
        wrong += int(differs.sum())
        last = number if differs.any() else last
        if differs.any() and not place:
            at = unravel(int(differs.argmax()), differs.shape)
            made, meant = candidate[at], reference[at]
            place = f", first {words.place((number, *at), called=True)}: {meant} expected, {made}"
    if not elements:
        return Verdict(subject, label, "tensor", Status.UNJUDGED, "nothing was compared")
    gate = Gate("unequal", wrong, 0, "elements")
    summary = (
        f"{wrong:,} of {words.count(elements, 'element')} differ{place}"
        if wrong
        else f"{words.count(elements, 'element')}, all equal"
    )
    notes: tuple[str, ...] = ()
    if decided:
        notes = (f"{words.count(decided, 'element')} differ where eager's own rounding decides.",)
    status = Status.FAIL if wrong else Status.PASS
    if wrong and last < proved:
        status, notes = Status.UNJUDGED, (*notes, _DECIDED)
    elif decided and left == elements:  # whatever the program made would be excused
        status, notes = Status.UNJUDGED, (*notes, _REMEDY)
    return Verdict(subject, label, "tensor", status, summary, {}, (gate,), elements, notes)
