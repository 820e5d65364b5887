"""What came out of a run: counts, a table by class, and JSON (docs/conformance-schema.md)."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Mode, Outcome
from harness.conformance.expected import unjudged
from harness.files import write_json as write
from harness.values import encode

__all__ = ["Report", "as_json", "write_json"]

_STACK = ("executorch", "torch", "torchao", "mlx")


@dataclass(frozen=True)
class Report:
    """A run of the suite: an outcome for each chosen case, in upstream's order.

    `whole` says whether every case was chosen; `seconds` is the wall time.
    """

    outcomes: tuple[Outcome, ...]
    whole: bool
    mode: Mode
    jobs: int
    started: str
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """Cases by status."""
        return _counted(self.outcomes)

    @property
    def cached(self) -> int:
        """Cases whose lowered program came from the cache."""
        return sum(outcome.cached for outcome in self.outcomes)

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the cases; opening the suites comes on top."""
        return sum(outcome.cpu_seconds for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """1 if a case failed; 2 if none was judged, or fewer than expected."""
        if self.counts[FAILED]:
            return 1
        return 0 if self.counts[PASSED] and not self.unjudged else 2

    @cached_property
    def unjudged(self) -> list[str]:
        """What should have been judged and was not, a sentence each."""
        version = importlib.metadata.version("executorch")
        return unjudged(self.outcomes, version, whole=self.whole, float64=self.mode.float64)

    @property
    def uncompared(self) -> int:
        """Cases that passed by running: upstream compares nothing in them."""
        return sum(bool(o.reason) for o in self.outcomes if o.status == PASSED)

    @property
    def suites(self) -> dict[str, dict[str, int]]:
        """Counts of each suite, by status."""
        names = dict.fromkeys(outcome.case.suite for outcome in self.outcomes)
        return {name: _counted(o for o in self.outcomes if o.case.suite == name) for name in names}

    @property
    def unsupported(self) -> dict[tuple[str, str], list[str]]:
        """Test class and why it cannot run here → its cases that cannot."""
        found: dict[tuple[str, str], list[str]] = {}
        for outcome in self.outcomes:
            if outcome.status == UNSUPPORTED:
                # Without the place in the graph.
                reason = outcome.reason.split("not supported here: ", 1)[-1]
                found.setdefault((outcome.case.group, reason), []).append(outcome.case.name)
        return found


def as_json(report: Report, command: str) -> dict[str, Any]:
    """The report in JSON's types."""
    cases = []
    for outcome in report.outcomes:
        told = encode(outcome)
        case = told.pop("case")
        del told["need"]
        cases.append({"suite": case["suite"], "class": case["group"], "name": case["name"], **told})
    return {
        "schema": "1",
        "tool_version": importlib.metadata.version("voxtral-parity"),
        "command": command,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "cpu_seconds": round(report.cpu_seconds, 3),
        "jobs": report.jobs,
        "exit_code": report.exit_code,
        "whole": report.whole,
        "executor": report.mode.executor,
        "lowering": "corrected" if report.mode.corrected else "stock",
        "versions": {name: importlib.metadata.version(name) for name in _STACK},
        "counts": report.counts,
        "unjudged": report.unjudged,
        "suites": report.suites,
        "cases": cases,
    }


def write_json(report: Report, command: str, path: Path) -> None:
    """Write the report to `path`, whole or not at all."""
    write(path, as_json(report, command))


def _counted(outcomes: Iterable[Outcome]) -> dict[str, int]:
    found = Counter(outcome.status for outcome in outcomes)
    return {status: found[status] for status in (PASSED, FAILED, UNSUPPORTED)}
