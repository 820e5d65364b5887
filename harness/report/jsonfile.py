"""The report as strict JSON, and back. docs/report-schema.md describes every field."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from harness.compare.verdict import Metric
from harness.errors import InputError, in_a_sentence
from harness.files import read_file, replace_file
from harness.report.model import SCHEMA, Report
from harness.values import decode, encode, number

__all__ = ["from_json", "read_json", "to_json", "write_json"]


def to_json(report: Report) -> str:
    """The report as a JSON document; infinities and NaN become strings."""
    data = {
        "schema": report.schema,
        **encode(report),
        "exit_code": report.exit_code,
        "counts": {str(status): n for status, n in report.counts.items()},
    }
    for verdict, told in zip(report.verdicts, data["verdicts"], strict=True):
        told["headroom_used"] = encode(verdict.headroom_used)
        for gate, entry in zip(verdict.gates, told["gates"], strict=True):
            entry |= {"headroom_used": encode(gate.headroom_used), "passed": gate.passed}
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Report:
    """The report of a document that `to_json` wrote.

    What derives from other fields (exit code, counts, whether a gate passed) is computed anew.
    Raises `InputError` for what is no JSON, of another schema version, or no report.
    """
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise InputError(f"expected report schema {SCHEMA!r}, got {data['schema']!r:.40}")
        for name in ("exit_code", "counts"):
            data.pop(name, None)
        for verdict in data["verdicts"]:
            del verdict["headroom_used"]
            for gate in verdict["gates"]:
                del gate["headroom_used"], gate["passed"]
        report: Report = decode(data, Report)
        verdicts = tuple(
            dataclasses.replace(v, metrics={name: _metric(m) for name, m in v.metrics.items()})
            for v in report.verdicts
        )
        return dataclasses.replace(report, verdicts=verdicts)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else in_a_sentence(error)
        raise InputError(f"not a report of voxtral-parity: {what}") from None


def write_json(report: Report, path: Path) -> None:
    """Write the report to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_json(report), encoding="utf-8")


def read_json(path: Path) -> Report:
    """Read a report that `write_json` wrote; raises `InputError` as `from_json` does."""
    text = read_file(path, "report").decode("utf-8", "replace")
    try:
        return from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _metric(value: Any) -> Metric:
    if isinstance(value, list):
        return tuple(map(_metric, value))
    if isinstance(value, str):
        return number(value) if value in ("inf", "-inf", "nan") else value
    return value if isinstance(value, bool) else number(value)
