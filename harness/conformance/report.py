"""What came out of a run: counts, a table by class, and JSON (docs/conformance-schema.md)."""

from __future__ import annotations

import importlib.metadata
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Outcome
from harness.conformance.expected import unjudged
from harness.files import replace_file

__all__ = ["SCHEMA", "Report", "to_json", "write_json"]

SCHEMA = "1"

_UNSUPPORTED = f"{UNSUPPORTED}: "

_STACK = ("executorch", "torch", "torchao", "mlx")


@dataclass(frozen=True)
class Report:
    """A run of the suite.

    Attributes
    ----------
    outcomes
        One for each chosen case, in upstream's order.
    whole
        Whether every case was chosen.
    faithful, corrected
        See `harness.conformance.trial.Mode`.
    seconds
        Wall time of the run.
    """

    outcomes: tuple[Outcome, ...]
    whole: bool
    faithful: bool
    corrected: bool
    jobs: int
    started: str
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """Cases by status."""
        found = Counter(outcome.status for outcome in self.outcomes)
        return {status: found[status] for status in (PASSED, FAILED, UNSUPPORTED)}

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
        return unjudged(self.outcomes, version, whole=self.whole)

    @property
    def uncompared(self) -> int:
        """Cases that passed by running: upstream compares nothing in them."""
        return sum(bool(o.reason) for o in self.outcomes if o.status == PASSED)

    @property
    def suites(self) -> dict[str, dict[str, int]]:
        """Counts of each suite, by status."""
        found: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.case.suite, Counter())[outcome.status] += 1
        return {
            suite: {status: counts[status] for status in (PASSED, FAILED, UNSUPPORTED)}
            for suite, counts in found.items()
        }

    @property
    def unsupported(self) -> dict[tuple[str, str], list[str]]:
        """Test class and why it cannot run here → its cases that cannot."""
        found: dict[tuple[str, str], list[str]] = {}
        for outcome in self.outcomes:
            if outcome.status == UNSUPPORTED:
                reason = outcome.reason.split(_UNSUPPORTED, 1)[-1]  # without the place in the graph
                found.setdefault((outcome.case.group, reason), []).append(outcome.case.name)
        return found


def to_json(report: Report, command: str) -> str:
    """The report as a JSON document."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "tool_version": importlib.metadata.version("voxtral-parity"),
        "command": command,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "cpu_seconds": round(report.cpu_seconds, 3),
        "jobs": report.jobs,
        "exit_code": report.exit_code,
        "whole": report.whole,
        "executor": "portable:faithful" if report.faithful else "portable",
        "lowering": "corrected" if report.corrected else "stock",
        "versions": {name: importlib.metadata.version(name) for name in _STACK},
        "counts": _keys(report.counts),
        "unjudged": report.unjudged,
        "suites": {suite: _keys(counts) for suite, counts in report.suites.items()},
        "cases": [
            {
                "suite": outcome.case.suite,
                "class": outcome.case.group,
                "name": outcome.case.name,
                "status": _key(outcome.status),
                "reason": outcome.reason,
                "seconds": outcome.seconds,
                "cpu_seconds": outcome.cpu_seconds,
                "cached": outcome.cached,
            }
            for outcome in report.outcomes
        ],
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(report: Report, command: str, path: Path) -> None:
    """Write the report to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_json(report, command), encoding="utf-8")


def _key(status: str) -> str:
    return "unsupported" if status == UNSUPPORTED else status


def _keys(counts: dict[str, int]) -> dict[str, int]:
    return {_key(status): count for status, count in counts.items()}
