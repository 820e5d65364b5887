"""The report as JUnit XML: a test case a verdict. Unjudged is an error, never a skip."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from harness.compare import words
from harness.compare.verdict import Status, Verdict
from harness.files import replace_file
from harness.report.model import Report

__all__ = ["to_junit", "write_junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document can hold, escaped or not."""

_TAGS = {Status.FAIL: "failure", Status.UNJUDGED: "error"}


def to_junit(report: Report) -> str:
    """One test suite. A run without verdicts has one case, an error: it must not look green."""
    counts = report.counts
    nothing = not report.verdicts
    suite = ElementTree.Element(
        "testsuite",
        name="voxtral-parity",
        tests=str(len(report.verdicts) or 1),
        failures=str(counts[Status.FAIL]),
        errors=str(counts[Status.UNJUDGED] + nothing),
        skipped="0",
        time=f"{report.seconds:.3f}",
        timestamp=report.started.removesuffix("Z"),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(report):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    told = Counter((verdict.subject, verdict.case) for verdict in report.verdicts)
    for verdict in report.verdicts:
        again = told[verdict.subject, verdict.case] > 1
        name = f"{verdict.case} ({verdict.kind})" if again else verdict.case
        _add(suite, verdict, name)
    if nothing:
        case = ElementTree.SubElement(suite, "testcase", classname="run", name="judged")
        ElementTree.SubElement(case, "error", message="nothing was judged", type="execution")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def write_junit(report: Report, path: Path) -> None:
    """Write it to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_junit(report), encoding="utf-8")


def _add(suite: ElementTree.Element, verdict: Verdict, name: str) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=_clean(verdict.subject), name=_clean(name)
    )
    if verdict.status is Status.PASS:
        return
    trouble = ElementTree.SubElement(
        case, _TAGS[verdict.status], message=_clean(verdict.summary), type=_clean(verdict.kind)
    )
    trouble.text = _clean("\n".join(_lines(verdict)))


def _lines(verdict: Verdict) -> Iterator[str]:
    yield verdict.summary
    for gate in verdict.failed_gates:
        where = f" ({gate.where})" if gate.where else ""
        yield (
            f"{gate.name}: {words.number(gate.value)} {gate.unit}, "
            f"{words.number(gate.allowed)} allowed{where}"
        )
    yield from verdict.notes
    if verdict.next:
        yield f"next: {verdict.next}"


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "exit_code", str(report.exit_code)
    yield "checkpoint", report.checkpoint.name
    yield "precision", report.precision
    yield "executor", f"{report.executor.executor} on {report.executor.device}"
    yield "regime", report.executor.regime
    for name, version in report.executor.versions.items():
        yield f"version.{name}", version
    for artifact in report.artifacts:
        yield f"sha256.{artifact.name}", artifact.sha256


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
