"""The report as one HTML file for a reviewer: nothing is fetched, and nothing needs a script."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from harness.compare import words
from harness.compare.verdict import Status, Verdict
from harness.files import replace_file
from harness.report.evidence import decisions, methods, sounds
from harness.report.figures import Figures
from harness.report.markup import Markup, badge, bar, code, details, element, sentence, table, text
from harness.report.methods import LINKS, ending, rows
from harness.report.model import Report
from harness.report.trouble import failures, headline, unjudged

__all__ = ["document", "to_page", "write_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
"""What the page may load: nothing but what it holds."""

_STATUS = {0: Status.PASS, 1: Status.FAIL, 2: Status.UNJUDGED}

_REACHED = (
    "A bar is the largest share of what is allowed; beyond 100 % a verdict fails. Exact: the "
    "program in float64 against eager in float64. Local: each step against its float64 meaning on "
    "the inputs that it had; a step that rounds once reaches its bound, so 100 % is usual. End "
    "to end: the method's outputs against eager's in its own precision."
)


def to_page(report: Report, figures: Figures | None = None) -> str:
    """The page.

    Parameters
    ----------
    report
        What it says.
    figures
        What its plots show; None leaves them out, and says so.
    """
    body = "\n".join(part for part in _sections(report, figures) if part)
    return document(f"voxtral-parity: {ending(report.verdicts)}", body)


def document(title: str, body: Markup) -> str:
    """A page that needs nothing else: `body` with the style of reports."""
    style = resources.files("harness.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>\n{style}</style>\n'
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def write_page(report: Report, path: Path, figures: Figures | None = None) -> None:
    """Write it to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_page(report, figures), encoding="utf-8")


def _sections(report: Report, figures: Figures | None) -> Iterator[Markup]:
    yield _verdict(report)
    yield failures(report)
    yield _overview(report)
    if figures is None:
        yield element("p", "This page was made without the arrays of the run: no plots.", "dim")
    else:
        yield methods(report, figures)
        yield sounds(figures)
        yield decisions(report, figures)
    yield _environment(report)
    yield unjudged(report)
    yield _everything(report.verdicts)


def _verdict(report: Report) -> Markup:
    status = _STATUS[report.exit_code]
    passed, failed, left = report.counts.values()
    counts = f"{words.count(len(report.verdicts), 'verdict')}: {passed} passed, {failed} failed, "
    counts += f"{left} not judged · exit code {report.exit_code}"
    line, cause = headline(report)
    lines = [
        f"<h1>{badge(status)} {text(sentence(line))}</h1>",
        element("p", text(sentence(cause)), "cause") if cause else "",
        element("p", text(counts)),
        element("p", text(_ran(report)), "dim"),
    ]
    links = [
        ("failed", "what failed", failed), ("methods", "methods", 1), ("sound", "sound", 1),
        ("decisions", "decisions", 1), ("environment", "environment", 1),
        ("unjudged", "not judged", left), ("all", "all verdicts", 1),
    ]  # fmt: skip
    menu = "".join(f'<a href="#{name}">{label}</a>' for name, label, there in links if there)
    return f'<header class="verdict {status}">{"".join(lines)}</header>\n<nav>{menu}</nav>'


def _ran(report: Report) -> str:
    executor = report.executor
    if not executor.executor:
        return report.command
    return (
        f"checkpoint {report.checkpoint.name}, {report.precision}, executor {executor.executor} on "
        f"{executor.device}, regime {executor.regime}; {report.started}"
    )


def _overview(report: Report) -> Markup:
    made = table(
        ("", "subject", "verdicts", *LINKS),
        (
            (
                badge(row.status),
                text(row.subject),
                text(_counts(row.passed, row.failed, row.unjudged)),
                *(
                    bar(share, usual=link == "local")
                    for link, share in zip(LINKS, row.used, strict=True)
                ),
            )
            for row in rows(report.verdicts)
        ),
    )
    return f'<h2 id="methods">Methods</h2>\n{made}\n{element("p", text(_REACHED), "small dim")}'


def _counts(passed: int, failed: int, left: int) -> str:
    pairs = ((passed, "passed"), (failed, "failed"), (left, "not judged"))
    return ", ".join(f"{count} {what}" for count, what in pairs if count)


def _environment(report: Report) -> Markup:
    executor, checkpoint = report.executor, report.checkpoint
    pairs = [
        ("command", code(report.command)),
        ("run", text(f"{report.started}, {report.seconds:.1f} s, version {report.tool_version}")),
        ("checkpoint", text(f"{checkpoint.name}, sha256 {checkpoint.digest}")),
        *(("", text(note)) for note in checkpoint.notes),
        ("precision", text(report.precision)),
        ("executor", text(f"{executor.executor} on {executor.device}")),
        ("versions", text(", ".join(f"{n} {v}" for n, v in executor.versions.items()))),
        ("regime", text(executor.regime)),
        *(("note", text(note)) for note in executor.notes),
        ("reference", text(report.reference.description)),
        *(
            ("", text(f"{choice.name}: {choice.value} ({choice.source})"))
            for choice in report.reference.choices
        ),
        *(
            ("artifact", text(f"{a.name}, {a.bytes:,} bytes, {a.origin}, sha256 {a.sha256}"))
            for a in report.artifacts
        ),
        *([("bundle", text(report.bundle.told))] if report.bundle else []),
    ]
    inner = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs)
    measured = ""
    if executor.measured is not None and executor.measured.products:
        kinds = table(("product", "class"), ((text(k), text(v)) for k, v in
                      executor.measured.products.items()))  # fmt: skip
        told = f"regime, measured by {words.count(executor.measured.canaries, 'product')}"
        measured = details(text(told), kinds)
    return f'<h2 id="environment">Environment</h2>\n<dl>{inner}</dl>\n{measured}'


def _everything(verdicts: tuple[Verdict, ...]) -> Markup:
    made = table(
        ("", "subject", "case", "used", "finding"),
        (
            (badge(v.status), text(v.subject), text(v.case),
             bar(v.headroom_telling if v.gates else None), text(v.summary))
            for v in verdicts
        ),
        "numbers",
    )  # fmt: skip
    summary = text(words.count(len(verdicts), "verdict"))
    return f'<h2 id="all">All verdicts</h2>\n{details(summary, made)}'
