"""``voxtral-parity conformance``: upstream's own op suite, run by the portable executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from harness.cli import console, options
from harness.cli.options import flag, option

if TYPE_CHECKING:
    from harness.conformance.report import Report

__all__ = ["conformance"]


def conformance(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]…", help="Suites, classes, configurations, or parts of one."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Worker processes.")] = 2,
    timeout: Annotated[
        float, option("--timeout", "S", "Seconds that a case may take.", min=1.0, max=options.DAY)
    ] = 300.0,
    faithful: Annotated[
        bool, flag("--faithful", "As --executor portable:faithful elsewhere.")
    ] = False,
    float64: Annotated[
        bool, flag("--float64", "Run wholly in float64: is each node type's meaning right?")
    ] = False,
    corrected: Annotated[
        bool, flag("--corrected", "Lower with this project's corrections.")
    ] = False,
    fresh: Annotated[bool, flag("--fresh", "Lower again what is cached.")] = False,
    listing: Annotated[bool, flag("--list", "Only list the cases.")] = False,
    json_file: options.Json = None,
) -> None:
    """Run the MLX op tests of the executorch wheel with the portable executor.

    Upstream's exporter lowers and upstream's code compares, at its own tolerances; our executor
    stands where upstream starts its C++ runner. Exit code 1 if a case failed, 2 if fewer were
    judged than expected.
    """
    from harness.conformance.cases import Mode, select
    from harness.conformance.report import write_json
    from harness.conformance.run import Request, available, run
    from harness.files import check_targets

    if listing:
        for case in select(available(), names or ()):
            typer.echo(f"{case.suite}  {case.group}  {case.name}")
        return
    check_targets(json_file)
    request = Request(tuple(names or ()), jobs, timeout, Mode(faithful, float64, corrected), fresh)
    with console.progress() as progress:
        report = run(request, progress)
    _show(report, console.stdout().print)
    if json_file is not None:
        write_json(report, console.command_line(), json_file)
    raise typer.Exit(report.exit_code)


def _show(report: Report, say: Callable[..., None]) -> None:
    from rich.table import Table

    from harness.conformance.cases import FAILED

    suites = Table("suite", "cases", "passed", "failed", "not supported here")
    for column in suites.columns[1:]:
        column.justify = "right"
    for suite, counts in report.suites.items():
        suites.add_row(suite, str(sum(counts.values())), *map(str, counts.values()))
    say(suites)
    reasons = Table("class", "case", "", "reason")
    for outcome in report.outcomes:
        if outcome.status == FAILED:
            case = outcome.case
            reasons.add_row(case.group, case.name, FAILED, escape(outcome.reason))
    for (group, reason), names in report.unsupported.items():
        which = names[0] if len(names) == 1 else f"{len(names)} cases"
        reasons.add_row(group, which, "not supported here", escape(reason))
    if reasons.row_count:
        say(reasons)
    for sentence in report.unjudged:
        say(sentence, soft_wrap=True, markup=False)
    say(_summary(report), soft_wrap=True, markup=False)


def _summary(report: Report) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    only = f"; {report.uncompared} of the passed only ran" if report.uncompared else ""
    return (
        f"{len(report.outcomes)} cases: {counts}{only} "
        f"({'corrected' if report.mode.corrected else 'stock'} lowering, "
        f"{report.cached} from the cache; {report.seconds:.0f} s with {report.jobs} processes, "
        f"{report.cpu_seconds:.0f} s of CPU time)"
    )
