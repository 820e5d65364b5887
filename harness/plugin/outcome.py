"""What ends a test, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.compare import Verdict

__all__ = ["CouldNotJudgeError", "MismatchError", "require_passed"]

_LONGEST = 40
"""Lines of a verdict's notes that are shown."""


class MismatchError(AssertionError):
    """A program, or an array, is not what it should be."""


class CouldNotJudgeError(Exception):
    """Nothing can be said; pytest shows it as an error, not as a failure."""


def require_passed(title: str, verdicts: Sequence[Verdict], repros: Sequence[Path] = ()) -> None:
    """Raise unless every verdict passed.

    Raises
    ------
    MismatchError
        One failed.
    CouldNotJudgeError
        None failed, and one was not judged, or there is none.
    """
    __tracebackhide__ = True
    failed = [v for v in verdicts if v.status == "fail"]
    unjudged = [v for v in verdicts if v.status == "unjudged"]
    if not failed and not unjudged and verdicts:
        return
    lines = [_headline(title, failed, unjudged)]
    for verdict in (*failed, *unjudged):
        lines += ["", *_paragraph(verdict)]
    passed = [v.case for v in verdicts if v.status == "pass"]
    if passed:
        lines += ["", f"passed: {', '.join(passed)}"]
    lines += [f"repro: {path}" for path in repros if path.name.startswith("repro")]
    text = "\n".join(lines)
    raise (MismatchError if failed else CouldNotJudgeError)(text)


def _headline(title: str, failed: Sequence[Verdict], unjudged: Sequence[Verdict]) -> str:
    if not failed:
        return f"{title} could not be judged"
    for verdict in failed:
        told = verdict.metrics
        if told.get("owner"):
            operator = told.get("operator") or told.get("op")
            at = f", at {operator}" if operator else ""
            place = f" ({told['source']})" if told.get("source") else ""
            return f"{title}: {told['owner']} is at fault{at}{place}"
    return f"{title} is not what it should be: {', '.join(v.case for v in failed)}"


def _paragraph(verdict: Verdict) -> list[str]:
    label = "FAIL" if verdict.status == "fail" else "UNJUDGED"
    notes = [line for note in verdict.notes for line in note.splitlines()]
    if len(notes) > _LONGEST:
        notes = [*notes[:_LONGEST], f"… {len(notes) - _LONGEST} more lines"]
    return [f"{label} {verdict.subject} · {verdict.case}: {verdict.summary}", *notes]
