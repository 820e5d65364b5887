"""``voxtral-parity conformance``: upstream's own op suite, run by the portable executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from harness.cli import console

if TYPE_CHECKING:
    from harness.conformance import Report

__all__ = ["conformance"]


def conformance(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="Suites, classes, configurations, or parts of one."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Worker processes.")] = 2,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that a case may take.")] = 300.0,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="As --executor portable:faithful elsewhere.")
    ] = False,
    corrected: Annotated[
        bool, typer.Option("--corrected", help="Lower with this project's corrections.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Lower again what is cached.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only list the cases.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the report here.")
    ] = None,
) -> None:
    """Run the MLX op tests of the executorch wheel with the portable executor.

    Upstream's exporter lowers and upstream's code compares, at its own tolerances; our executor
    stands where upstream starts its C++ runner. Exit code 1 if a case failed, 2 if none could run.
    """
    from harness.conformance import Mode, Request, available, run, select, write_json

    if listing:
        for case in select(available(), names or ()):
            typer.echo(f"{case.suite}  {case.group}  {case.name}")
        return
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
    request = Request(tuple(names or ()), jobs, timeout, Mode(faithful, corrected), fresh)
    with console.progress() as progress:
        report = run(request, progress)
    _show(report, console.stdout().print)
    if json_file is not None:
        write_json(report, console.command_line(), json_file)
    raise typer.Exit(report.exit_code)


def _show(report: Report, say: Callable[..., None]) -> None:
    from rich.table import Table

    from harness.conformance import PASSED

    classes = Table("suite", "class", "cases", "passed", "failed", "not supported here")
    for column in classes.columns[2:]:
        column.justify = "right"
    plain = [count for count in report.classes if count.passed == count.cases]
    for count in report.classes:
        if count.passed != count.cases:
            numbers = (count.cases, count.passed, count.failed, count.unsupported)
            classes.add_row(count.suite, count.group, *map(str, numbers))
    if plain:
        total = str(sum(count.cases for count in plain))
        classes.add_row("", f"{len(plain)} classes that passed whole", total, total, "0", "0")
    say(classes)
    reasons = Table("case", "", "reason")
    for outcome in report.outcomes:
        if outcome.status != PASSED:
            reasons.add_row(outcome.case.name, outcome.status, escape(outcome.reason))
    if reasons.row_count:
        say(reasons)
    say(_summary(report), soft_wrap=True, markup=False)


def _summary(report: Report) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    only = f"; {report.uncompared} of the passed only ran" if report.uncompared else ""
    return (
        f"{len(report.outcomes)} cases: {counts}{only} "
        f"({'corrected' if report.corrected else 'stock'} lowering, "
        f"{report.cached} from the cache; {report.seconds:.0f} s with {report.jobs} processes, "
        f"{report.cpu_seconds:.0f} s of CPU time)"
    )
