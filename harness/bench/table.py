"""A benchmark of speech for a person: a row a run, then the averages, then who is how quick."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from harness.bench.figures import Benchmark, Contender, figures, reload_note
from harness.bench.speaking import TARGET
from harness.parity.request import RUNNER
from harness.parity.speaking import EAGER

__all__ = ["over", "print_benchmark"]

_COLUMNS = {
    "audio_seconds": ("audio s", "{:.2f}"),
    "generate_ms": ("generate ms", "{:.0f}"),
    "rtf": ("RTF", "{:.3f}"),
    "first_audio_ms": ("first audio ms", "{:.0f}"),
    "wall_ms": ("process ms", "{:.0f}"),
}


def print_benchmark(
    benchmark: Benchmark,
    console: Console,
    saved: Benchmark | None = None,
    source: Path | None = None,
) -> None:
    """Print it, and beside it how it compares with eager and with a `saved` one from `source`."""
    subject = benchmark.subject
    how = "streaming" if subject.utterance.streaming else "offline"
    title = f"{subject.checkpoint}, {subject.precision}, {how}: {subject.utterance.text[:60]!r}"
    console.print(title, markup=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("executor")
    table.add_column("run")
    for header, _ in _COLUMNS.values():
        table.add_column(header, justify="right")
    for contender in benchmark.contenders:
        rows = [(str(k), figures(run)) for k, run in enumerate(contender.runs, 1)]
        rows.append(("average", dict(contender.average)))
        if contender.warm is not None:
            rows.append(("warm average", dict(contender.warm)))
        for number, (label, row) in enumerate(rows):
            cells = ("" if row.get(column) is None else form.format(row[column])
                     for column, (_, form) in _COLUMNS.items())  # fmt: skip
            table.add_row("" if number else contender.executor, label, *cells)
        table.add_section()
    console.print(table)
    for contender in benchmark.contenders:
        if contender.executor == RUNNER:
            console.print(reload_note(contender.runs), markup=False, soft_wrap=True)
    for line in _comparisons(benchmark, saved, source):
        console.print(line, markup=False, soft_wrap=True)


def over(contender: Contender, other: Contender) -> float:
    """How many times as long it takes for a second of sound; warm, where both have warm runs."""
    if contender.warm is not None and other.warm is not None:
        return contender.warm["rtf"] / other.warm["rtf"]
    return contender.average["rtf"] / other.average["rtf"]


def _comparisons(benchmark: Benchmark, saved: Benchmark | None, source: Path | None) -> list[str]:
    lines = []
    known = {contender.executor: contender for contender in benchmark.contenders}
    eager = known.get(EAGER)
    for name, contender in known.items():
        if eager is None or contender is eager:
            continue
        ratio = over(contender, eager)
        line = f"{name} takes {ratio:.2f} times as long as eager"
        if name == "portable" and benchmark.subject.precision == "fp32":
            line += f" (at most {TARGET:g} wanted: {'met' if ratio <= TARGET else 'missed'})"
        lines.append(line)
    if saved is None:
        return lines
    before = {contender.executor: contender for contender in saved.contenders}
    for name, contender in known.items():
        if name in before:
            ratio = over(contender, before[name])
            lines.append(f"{name} takes {ratio:.2f} times as long as in {source}")
        else:
            lines.append(f"{name} is not in {source}, which has {', '.join(before)}")
    if saved.device != benchmark.device:
        lines.append(f"{source} was measured on {saved.device}, this on {benchmark.device}")
    return lines
