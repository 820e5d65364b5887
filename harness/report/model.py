"""The report: what ran on what, and every verdict. All other forms derive from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.compare.verdict import Status, Verdict, exit_code
from harness.fingerprint import Fingerprint
from harness.report.finding import Localized

__all__ = [
    "SCHEMA",
    "ArtifactFacts",
    "BundleFacts",
    "CheckpointFacts",
    "Choice",
    "Reference",
    "Report",
]

SCHEMA = "2"
"""Version of the JSON form; a reader refuses any other. docs/report-schema.md describes it."""


@dataclass(frozen=True)
class CheckpointFacts:
    """Which weights: preset or directory `name`, and the sha256 `digest` in hex.

    `directory` is the last part of its path alone; whole paths would tell whose machine it was.
    `notes` say what it lacks, a voice for one.
    """

    name: str
    digest: str
    directory: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArtifactFacts:
    """One `.pte`: its size in bytes, sha256 in hex, and how it came.

    `origin` is ``exported``, ``cached`` or ``given``; `seconds` is what exporting took in this run,
    0 where it did not.
    """

    name: str
    bytes: int
    sha256: str
    seconds: float
    origin: str


@dataclass(frozen=True)
class BundleFacts:
    """The bundle that was run or judged.

    Attributes
    ----------
    sha256
        Of the whole file, in hex.
    commit
        Git commit that it was packed at, in hex; empty where nobody said.
    packed
        When it was packed: UTC, ISO 8601.
    observed, observed_by
        When its programs ran, in the same form, and which version of voxtral-parity ran them;
        empty where nobody knows: outputs that came as files, and reports of older versions.
    """

    sha256: str
    commit: str
    packed: str
    observed: str = ""
    observed_by: str = ""

    @property
    def told(self) -> str:
        """For a person, in a line."""
        commit = f" at commit {self.commit}" if self.commit else ""
        ran = f", observed {self.observed} by voxtral-parity {self.observed_by or 'unknown'}"
        return f"sha256 {self.sha256}, packed {self.packed}{commit}{ran if self.observed else ''}"


@dataclass(frozen=True)
class Choice:
    """A choice of semantics on which public implementations disagree, e.g. ``alibi``.

    `value` is what was chosen, `source` who does so.
    """

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Reference:
    """What the candidates were compared with: in words, and the choices it embodies."""

    description: str
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Report:
    """One run.

    Attributes
    ----------
    tool_version, command
        Version of voxtral-parity, and what was typed.
    started, seconds
        UTC, ISO 8601, e.g. ``"2026-08-01T12:00:00Z"``, and the wall time of the run.
    checkpoint, precision, executor
        Which weights, in which arithmetic they were exported, and what ran the artifacts.
    artifacts, reference
        The files judged, and what they were judged against.
    verdicts
        Every judgement, in the order made.
    findings
        The wrong nodes behind verdicts on a link that broke, one entry a method and link.
    schema
        Version of the JSON form.
    bundle
        The bundle that evidence and artifacts were read from; None if they were made.
    """

    tool_version: str
    started: str
    seconds: float
    command: str
    checkpoint: CheckpointFacts
    precision: str
    executor: Fingerprint
    artifacts: tuple[ArtifactFacts, ...]
    reference: Reference
    verdicts: tuple[Verdict, ...]
    findings: tuple[Localized, ...] = ()
    schema: str = SCHEMA
    bundle: BundleFacts | None = None

    @property
    def exit_code(self) -> int:
        """0 if every verdict passed, 1 if any failed, 2 if something, or all, was not judged."""
        return exit_code(self.verdicts)

    @property
    def counts(self) -> dict[Status, int]:
        """How many verdicts came out which way; every status is present."""
        found = Counter(verdict.status for verdict in self.verdicts)
        return {status: found[status] for status in Status}
