"""Verdicts as annotations: lines that GitHub Actions shows beside the checks of a change."""

from __future__ import annotations

import os
from collections.abc import Sequence

from harness.compare import Status, Verdict

__all__ = ["annotation_lines", "asked_for"]

_MOST = 10
"""Annotations of one kind and step that GitHub shows."""


def asked_for() -> bool:
    """Whether this runs in GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line for each verdict that is not green, failures first, at most ten."""
    found = [
        f"::error title={_property(f'{verdict.subject} · {verdict.case}')}::"
        f"{_text(('' if verdict.status is Status.FAIL else 'not judged: ') + verdict.summary)}"
        for status in (Status.FAIL, Status.UNJUDGED)
        for verdict in verdicts
        if verdict.status is status
    ]
    left = len(found) - (_MOST - 1)
    if len(found) > _MOST:
        found = [*found[: _MOST - 1], f"::error::{left} more; the report has them all"]
    return found


def _text(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _text(value).replace(":", "%3A").replace(",", "%2C")
