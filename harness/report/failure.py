"""The report of a run that came to no judgement: one unjudged verdict that says why."""

from __future__ import annotations

import datetime

from harness.compare.verdict import Status, Verdict
from harness.fingerprint import Fingerprint
from harness.report.model import CheckpointFacts, Reference, Report

__all__ = ["failure"]


def failure(reason: str, command: str, tool_version: str) -> Report:
    """What is written where there is no report; `reason` is the sentence that the user is told."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Report(
        tool_version=tool_version,
        started=now.replace("+00:00", "Z"),
        seconds=0.0,
        command=command,
        checkpoint=CheckpointFacts("", "", ""),
        precision="",
        executor=Fingerprint("", "", {}),
        artifacts=(),
        reference=Reference("none: nothing was compared with one"),
        verdicts=(
            Verdict(
                "run",
                "could not be judged",
                "execution",
                Status.UNJUDGED,
                reason,
                next="voxtral-parity doctor",
            ),
        ),
    )
