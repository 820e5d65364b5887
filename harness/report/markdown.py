"""The report as Markdown, for a job summary: the verdict first, and never too long for GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.compare import words
from harness.compare.verdict import Status, Verdict
from harness.files import replace_file
from harness.report.methods import LINKS, ending, rows
from harness.report.model import Report
from harness.report.tables import used

__all__ = ["LIMIT", "to_markdown", "write_markdown"]

LIMIT = 1 << 20
"""Bytes that GitHub takes of one step's summary; what is longer is dropped whole, with an error."""

_MARKS = {Status.PASS: "✅", Status.FAIL: "❌", Status.UNJUDGED: "❔"}

_MOST_LINES = 40
"""Lines of one verdict's notes."""


def to_markdown(report: Report, limit: int = LIMIT) -> str:
    """The report in at most `limit` bytes of UTF-8; what has no room is left out and counted."""
    head = "\n".join(_head(report)) + "\n"
    tail = "\n".join(_environment(report)) + "\n"
    troubles = [v for v in report.verdicts if v.status is not Status.PASS]
    told = [("\n".join(_trouble(report, v)) + "\n", v) for v in troubles]
    room = limit - len(f"{head}{tail}".encode()) - 200
    kept = list[str]()
    for text, _ in told:
        room -= len(text.encode())
        if room < 0:
            left = len(told) - len(kept)
            kept.append(f"{words.count(left, 'more verdict')} did not pass; see the report.\n")
            break
        kept.append(text)
    return "".join((head, *kept, tail)).encode()[:limit].decode("utf-8", "ignore")


def write_markdown(report: Report, path: Path) -> None:
    """Write it to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_markdown(report), encoding="utf-8")


def _head(report: Report) -> Iterator[str]:
    status = {0: Status.PASS, 1: Status.FAIL, 2: Status.UNJUDGED}[report.exit_code]
    passed, failed, unjudged = report.counts.values()
    yield f"## {_MARKS[status]} voxtral-parity: {ending(report.verdicts)}"
    yield ""
    yield (
        f"{words.count(len(report.verdicts), 'verdict')}: {passed} passed, {failed} failed, "
        f"{unjudged} unjudged · exit code {report.exit_code} · {_text(report.checkpoint.name)}, "
        f"{_text(report.precision)}, {_text(report.executor.executor)} on "
        f"{_text(report.executor.device)}"
    )
    yield ""
    yield f"| | method | verdicts | {' | '.join(LINKS)} |"
    yield "|---|---|---|" + "---:|" * len(LINKS)
    for row in rows(report.verdicts):
        shares = " | ".join("–" if share is None else used(share) for share in row.used)
        count = row.passed + row.failed + row.unjudged
        yield f"| {_MARKS[row.status]} | {_text(row.subject)} | {count} | {shares} |"
    yield ""
    yield "Shares are of what is allowed; above 100 % a verdict fails."
    yield ""


def _trouble(report: Report, verdict: Verdict) -> Iterator[str]:
    yield f"### {_MARKS[verdict.status]} {_text(verdict.subject)} · {_text(verdict.case)}"
    yield ""
    yield _text(verdict.summary)
    yield ""
    for one in report.findings:
        if (one.method, one.link) == (verdict.subject, verdict.kind):
            for finding in one.findings[:1]:
                yield f"**First wrong: {_text(str(finding.place))}.** {_text(finding.advice)}"
                yield ""
    for gate in verdict.failed_gates:
        where = f" ({gate.where})" if gate.where else ""
        yield _text(
            f"- {gate.name}: {words.number(gate.value)} {gate.unit}, "
            f"{words.number(gate.allowed)} allowed{where}"
        )
    lines = "\n".join(verdict.notes).splitlines()
    if lines:
        left = len(lines) - _MOST_LINES
        more = [f"… {left} more lines"] if left > 0 else []
        yield from ("", *_fenced([*lines[:_MOST_LINES], *more]))
    if verdict.next:
        yield from ("", "Next:", *_fenced([verdict.next], "sh"))
    yield ""


def _environment(report: Report) -> Iterator[str]:
    yield "<details><summary>Environment</summary>"
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in report.executor.versions.items())
    yield f"- {_text(versions)}"
    yield f"- regime: {_text(report.executor.regime)}"
    for note in (*report.checkpoint.notes, *report.executor.notes):
        yield f"- {_text(note)}"
    yield f"- reference: {_text(report.reference.description)}"
    for artifact in report.artifacts:
        yield f"- {artifact.name}: {artifact.bytes:,} bytes, sha256 `{artifact.sha256}`"
    if report.bundle is not None:
        yield f"- bundle: {_text(report.bundle.told)}"
    yield f"- {report.started}, {report.seconds:.1f} s, version {_text(report.tool_version)}"
    yield ""
    yield from _fenced([report.command], "sh")
    yield ""
    yield "</details>"


def _fenced(lines: list[str], language: str = "") -> list[str]:
    """A block of code that no line in it can end."""
    longest = max((len(run) for line in lines for run in _runs(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]


def _runs(line: str) -> list[str]:
    return ["`" * len(part) for part in "".join(c if c == "`" else " " for c in line).split()]


def _text(text: str) -> str:
    """Text that means itself: no table cell, tag, link or emphasis begins in it."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
