"""One row a subject: how it came out, and how much of each link's allowance it used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.verdict import Status, Verdict, exit_code

__all__ = ["ENDINGS", "LINKS", "Row", "ending", "rows"]

LINKS = ("exact", "local", "end to end")
"""What each method is judged by, in the order of the columns."""

ENDINGS = ("every verdict passed", "a mismatch", "not everything could be judged")
"""What an exit code means."""

_STATUS = {0: Status.PASS, 1: Status.FAIL, 2: Status.UNJUDGED}

_END_TO_END = {"tensor", "waveform", "pcm", "codes", "execution", "logits"}


@dataclass(frozen=True)
class Row:
    """One subject.

    Attributes
    ----------
    subject
        A method, a file, or the speech.
    status
        Of all its verdicts.
    passed, failed, unjudged
        How many of them came out so.
    used
        For each of `LINKS` the largest share of an allowance; None where no such verdict is.
    """

    subject: str
    status: Status
    passed: int
    failed: int
    unjudged: int
    used: tuple[float | None, ...]


def rows(verdicts: Sequence[Verdict]) -> list[Row]:
    """A row for each subject, in the order of their first verdicts."""
    by_subject: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_subject.setdefault(verdict.subject, []).append(verdict)
    found = []
    for subject, own in by_subject.items():
        passed, failed, left = (sum(v.status is status for v in own) for status in Status)
        status = _STATUS[exit_code(own)]
        used = tuple(_used(own, link) for link in LINKS)
        found.append(Row(subject, status, passed, failed, left, used))
    return found


def ending(verdicts: Sequence[Verdict]) -> str:
    """How a run came out, in words: ``a mismatch``."""
    return ENDINGS[exit_code(verdicts)] if verdicts else "nothing was judged"


def _used(verdicts: Sequence[Verdict], link: str) -> float | None:
    kinds = _END_TO_END if link == "end to end" else {link}
    shares = [v.headroom_used if link == "local" else v.headroom_telling
              for v in verdicts if v.kind in kinds and v.gates]  # fmt: skip
    return max(shares, key=lambda share: (share != share, share), default=None)
