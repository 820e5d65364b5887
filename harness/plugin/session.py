"""What one process of pytest keeps: options, what was judged, goldens that were used."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.plugin.options import Chosen

__all__ = ["KEY", "Found", "Session", "file_name"]


@dataclass
class Found:
    """What one test found.

    Attributes
    ----------
    reports
        JSON of what was judged, one each.
    goldens
        Paths of the goldens that it used.
    """

    reports: list[str] = field(default_factory=list)
    goldens: list[str] = field(default_factory=list)


@dataclass
class Session:
    """Of one process: the only one, a worker of xdist, or the one that its workers report to.

    Attributes
    ----------
    chosen
        The options.
    tests
        What each test found, by its node id; as far as its report has come.
    collected
        Node ids of all tests that were found in the files, left out of this run or not.
    passed
        Node ids of the tests that passed.
    written, unused, trouble
        At the end: where the report is, the goldens that no test used, and why the report could not
        be written.
    """

    chosen: Chosen
    tests: dict[str, Found] = field(default_factory=dict)
    collected: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    written: Path | None = None
    unused: list[Path] = field(default_factory=list)
    trouble: str = ""

    @cached_property
    def voxtral(self) -> Any:
        """Voxtral's methods under these options; made when a test first asks."""
        from harness.plugin.voxtral import Voxtral

        return Voxtral(self.chosen)

    def take(self, nodeid: str, outcome: str, told: dict[str, Any]) -> None:
        """What a test's report has of it."""
        found = self.tests.setdefault(nodeid, Found())
        found.reports += told.get("reports", ())
        found.goldens += told.get("goldens", ())
        if outcome == "passed":
            self.passed.add(nodeid)

    def write_report(self) -> Path | None:
        """Write all that was judged into the directory asked for; None if there is nothing."""
        reports = [text for found in self.tests.values() for text in found.reports]
        if self.chosen.report is None or not reports:
            return None
        import dataclasses

        from harness.report import CheckpointFacts, from_json, write_json, write_page

        made = [from_json(text) for text in reports]
        names = dict.fromkeys(report.checkpoint.name for report in made)
        precisions = dict.fromkeys(report.precision for report in made)
        verdicts: list[Any] = []  # one on a file is in the report of each of its methods
        for report in made:
            verdicts += [verdict for verdict in report.verdicts if verdict not in verdicts]
        one = dataclasses.replace(
            made[0],
            seconds=sum(report.seconds for report in made),
            command="pytest",
            checkpoint=CheckpointFacts(", ".join(names), made[0].checkpoint.digest, ""),
            precision=", ".join(precisions),
            artifacts=tuple(artifact for report in made for artifact in report.artifacts),
            verdicts=tuple(verdicts),
            findings=tuple(found for report in made for found in report.findings),
        )
        if len(made) == 1:
            one = made[0]
        self.chosen.report.mkdir(parents=True, exist_ok=True)
        path = self.chosen.report / "report.json"
        write_json(one, path)
        write_page(one, self.chosen.report / "index.html")
        return path


KEY = pytest.StashKey[Session]()


def file_name(text: str) -> str:
    """A test's name as that of a file; two names that would be one get a number each."""
    plain = re.sub(r"[^\w.-]+", "_", text).strip("_")
    if plain == text:
        return plain
    import hashlib

    return f"{plain[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
