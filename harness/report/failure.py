"""Reports of no program: of a run that came to no judgement, and of the gate."""

from __future__ import annotations

from harness.compare.verdict import Status, Verdict
from harness.fingerprint import Fingerprint
from harness.report.model import CheckpointFacts, Reference, Report
from harness.values import timestamp

__all__ = ["failure", "of_no_program"]


def failure(reason: str, command: str, tool_version: str) -> Report:
    """What is written where there is no report; `reason` is the sentence that the user is told."""
    verdict = Verdict(
        "run",
        "could not be judged",
        "execution",
        Status.UNJUDGED,
        reason,
        next="voxtral-parity doctor",
    )
    reference = "none: nothing was compared with one"
    return of_no_program((verdict,), reference, command, tool_version)


def of_no_program(
    verdicts: tuple[Verdict, ...], reference: str, command: str, tool_version: str
) -> Report:
    """A report made now of verdicts that are of no checkpoint, executor or artifact."""
    return Report(
        tool_version=tool_version,
        started=timestamp(),
        seconds=0.0,
        command=command,
        checkpoint=CheckpointFacts("", "", ""),
        precision="",
        executor=Fingerprint("", "", {}),
        artifacts=(),
        reference=Reference(reference),
        verdicts=verdicts,
    )
