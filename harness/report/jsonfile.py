"""The report as strict JSON, and back. docs/report-schema.md describes every field."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.errors import InputError
from harness.files import replace_file
from harness.fingerprint import Fingerprint
from harness.report.model import (
    SCHEMA,
    ArtifactFacts,
    CheckpointFacts,
    Choice,
    Reference,
    Report,
)

__all__ = ["from_json", "read_json", "to_json", "write_json"]

_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
"""Strict JSON has no literal for these; as strings they survive every parser."""


def to_json(report: Report) -> str:
    """The report as a JSON document; infinities and NaN become strings."""
    data = {
        "schema": report.schema,
        "tool_version": report.tool_version,
        "command": report.command,
        "started": report.started,
        "seconds": report.seconds,
        "exit_code": report.exit_code,
        "counts": {str(status): n for status, n in report.counts.items()},
        "checkpoint": vars(report.checkpoint),
        "precision": report.precision,
        "executor": vars(report.executor),
        "artifacts": [vars(artifact) for artifact in report.artifacts],
        "reference": dataclasses.asdict(report.reference),
        "verdicts": [_verdict_data(verdict) for verdict in report.verdicts],
    }
    return json.dumps(_plain(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Report:
    """The report of a document that `to_json` wrote.

    What derives from other fields (exit code, counts, whether a gate passed) is computed anew.

    Raises
    ------
    InputError
        Not JSON, of another schema version, or not a report.
    """
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise InputError(f"expected report schema {SCHEMA!r}, got {data['schema']!r}")
        return Report(
            tool_version=data["tool_version"],
            started=data["started"],
            seconds=data["seconds"],
            command=data["command"],
            checkpoint=CheckpointFacts(**data["checkpoint"]),
            precision=data["precision"],
            executor=Fingerprint(**{**data["executor"], "notes": tuple(data["executor"]["notes"])}),
            artifacts=tuple(ArtifactFacts(**artifact) for artifact in data["artifacts"]),
            reference=Reference(
                data["reference"]["description"],
                tuple(Choice(**choice) for choice in data["reference"]["choices"]),
            ),
            verdicts=tuple(_verdict(entry) for entry in data["verdicts"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"not a report of voxtral-parity: {what}") from None


def write_json(report: Report, path: Path) -> None:
    """Write the report to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_json(report), encoding="utf-8")


def read_json(path: Path) -> Report:
    """Read a report that `write_json` wrote; raises `InputError` as `from_json` does."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"report {path} cannot be read: {error}") from None
    try:
        return from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {
        "subject": verdict.subject,
        "case": verdict.case,
        "kind": verdict.kind,
        "status": str(verdict.status),
        "summary": verdict.summary,
        "elements": verdict.elements,
        "headroom_used": verdict.headroom_used,
        "gates": [
            {**vars(gate), "headroom_used": gate.headroom_used, "passed": gate.passed}
            for gate in verdict.gates
        ],
        "metrics": verdict.metrics,
        "notes": verdict.notes,
    }


def _verdict(data: dict[str, Any]) -> Verdict:
    return Verdict(
        subject=data["subject"],
        case=data["case"],
        kind=data["kind"],
        status=Status(data["status"]),
        summary=data["summary"],
        metrics={name: _metric(value) for name, value in data["metrics"].items()},
        gates=tuple(
            Gate(
                gate["name"],
                _number(gate["value"]),
                _number(gate["allowed"]),
                gate["unit"],
                gate["where"],
            )
            for gate in data["gates"]
        ),
        elements=data["elements"],
        notes=tuple(data["notes"]),
    )


def _plain(value: Any) -> Any:
    """`value` with only what JSON has; numpy's scalars become Python's."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    raise TypeError(f"a report cannot carry a {type(value).__name__} ({value!r})")


def _metric(value: Any) -> Metric:
    if isinstance(value, list):
        return tuple(_metric(entry) for entry in value)
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"a metric is {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str):
        return _WORDS[value]
    return value + 0
