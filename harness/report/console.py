"""The report for a person: what ran, one row a judgement, and a paragraph for each trouble.

Fits 80 columns and uses more where there are more. Where the output cannot show Unicode, plain
ASCII stands in; without colour nothing is lost.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.compare import words
from harness.compare.verdict import Status, Verdict, exit_code
from harness.fingerprint import Fingerprint
from harness.report.model import Report
from harness.report.tables import checks_table, gates_table, levels_table, values_table

__all__ = ["print_parts", "print_report", "print_verdicts", "to_text"]

# By exit code: what it means, and its colour.
_ENDINGS = (
    ("every verdict passed", "green"),
    ("a mismatch", "red"),
    ("not everything could be judged", "yellow"),
)

_LONGEST_NOTE = 20
"""Lines of a note that are shown; a compiler's log goes on for pages, and the JSON has it all."""

_ASCII = str.maketrans(
    {
        "✓": "+", "✗": "X", "·": "-", "–": "-", "—": "-", "−": "-", "×": "x", "→": "->",
        "≤": "<=", "≥": ">=", "≡": "==", "…": "...", "“": '"', "”": '"', "’": "'",
    }
)  # fmt: skip


def print_report(report: Report, console: Console | None = None) -> None:
    """Print `report` on `console` (standard output by default), as wide as it is."""
    console = console or Console()
    print_parts(Group(_header(report), "", _findings(report.verdicts, console.width)), console)


def print_verdicts(verdicts: Sequence[Verdict], console: Console | None = None) -> None:
    """Print `verdicts` alone, as `print_report` prints them below its header."""
    console = console or Console()
    print_parts(_findings(verdicts, console.width), console)


def to_text(report: Report, width: int = 100) -> str:
    """`report` as text `width` columns wide, without colour."""
    file = io.StringIO()
    print_report(report, Console(file=file, width=width, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def print_parts(body: RenderableType, console: Console | None = None) -> None:
    """Print `body`, in plain ASCII where the console shows nothing else."""
    console = console or Console()
    if not console.options.ascii_only:
        console.print(body)
        return
    with console.capture() as capture:
        console.print(body)
    plain = capture.get().translate(_ASCII).encode("ascii", "replace").decode()
    console.file.writelines(f"{line.rstrip()}\n" for line in plain.splitlines())


def _findings(verdicts: Sequence[Verdict], width: int) -> RenderableType:
    """Tables, a paragraph for each trouble, and the line that says how it ended."""
    tables = (values_table(verdicts, width), levels_table(verdicts), checks_table(verdicts))
    troubles = (_trouble(verdict) for verdict in verdicts if verdict.status is not Status.PASS)
    parts: list[RenderableType] = [made for made in tables if made is not None]
    parts += [*troubles, *_near(verdicts), _closing(verdicts)]
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts[:-1]), parts[-1])


def _header(report: Report) -> RenderableType:
    executor = report.executor
    versions = ", ".join(f"{name} {version}" for name, version in executor.versions.items())
    rows = [
        ("checkpoint", f"{report.checkpoint.name} (sha256 {report.checkpoint.digest[:12]}…)"),
        *(("", note) for note in report.checkpoint.notes),
        ("precision", report.precision),
        ("executor", f"{executor.executor} on {executor.device}"),
        ("versions", versions),
        *_regime(executor),
        *(("note", note) for note in executor.notes),
        ("reference", report.reference.description),
        *(
            ("", f"{choice.name}: {choice.value} ({choice.source})")
            for choice in report.reference.choices
        ),
    ]
    for artifact in report.artifacts:
        how = {"cached": "from the cache", "given": "given"}.get(
            artifact.origin, f"exported in {artifact.seconds:.1f} s"
        )
        size = f"{artifact.bytes:,} bytes"
        rows.append(("artifact", f"{artifact.name}, {size}, sha256 {artifact.sha256[:12]}…, {how}"))
    if report.bundle is not None:
        rows.append(("bundle", report.bundle.told))
    rows.append(("run", f"{report.started}, {report.seconds:.1f} s: {report.command}"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(label, Text(text))
    return Group(Text(f"voxtral-parity {report.tool_version}", style="bold"), grid)


def _regime(executor: Fingerprint) -> list[tuple[str, str]]:
    """How exactly the executor multiplies; nothing where that was not measured."""
    if executor.measured is None:
        return []
    measured = executor.measured
    return [("regime", f"{measured.name}, by {words.count(measured.canaries, 'product')}")]


def _trouble(verdict: Verdict) -> RenderableType:
    """Heading, summary, the gates that failed, and what to do."""
    failed = verdict.status is Status.FAIL
    label, style = ("FAIL", "bold red") if failed else ("UNJUDGED", "bold yellow")
    heading = Text.assemble((f"{label} ", style), (f"{verdict.subject} · {verdict.case}", "bold"))
    inner: list[RenderableType] = [Text(_sentence(verdict.summary))]
    if verdict.failed_gates:
        inner.append(gates_table(verdict))
    inner += [Text(_clip(note)) for note in verdict.notes]
    return Group(heading, Padding(Group(*inner), (0, 0, 0, 2)))


def _near(verdicts: Sequence[Verdict]) -> list[RenderableType]:
    """A line for each note on an allowance that is nearly used up."""
    return [
        Text.assemble(("NEAR ", "yellow"), f"{verdict.subject} · {verdict.case}: ", note[6:])
        for verdict in verdicts
        for note in verdict.notes
        if verdict.status is Status.PASS and note.startswith("Near: ")
    ]


def _closing(verdicts: Sequence[Verdict]) -> RenderableType:
    code = exit_code(verdicts)
    passed, failed, unjudged = (sum(v.status is status for v in verdicts) for status in Status)
    meaning, colour = _ENDINGS[code]
    return Text(
        f"{words.count(len(verdicts), 'verdict')}: {passed} passed, {failed} failed, {unjudged} "
        f"unjudged → exit code {code}, {meaning if verdicts else 'nothing was judged'}",
        style=f"bold {colour}",
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "`")) else ".")


def _clip(note: str) -> str:
    lines = note.strip().splitlines()
    if len(lines) <= _LONGEST_NOTE:
        return "\n".join(lines)
    left = len(lines) - _LONGEST_NOTE
    return "\n".join([*lines[:_LONGEST_NOTE], f"… {left} more lines; `--json` keeps them all."])
