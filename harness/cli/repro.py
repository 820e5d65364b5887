"""``voxtral-parity repro``: reports for upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from harness.cli import console
from harness.cli.options import option
from harness.files import check_directory
from harness.upstream import quietly_loaded

__all__ = ["repro"]


def repro(
    every: Annotated[Path, option("--all", "DIR", "Write a report of every bug into DIR.")],
    sweep: Annotated[
        Path | None,
        option("--sweep", "FILE", "The JSON of a sweep; without it, the sweep is run: minutes."),
    ] = None,
    ops: Annotated[
        str | None,
        option("--ops", "NAMES", "Operators or families, with commas between; all by default."),
    ] = None,
    jobs: Annotated[int, option("--jobs", "N", "Processes of the sweep.", min=1)] = 2,
) -> None:
    """Write a report for upstream of every distinct bug of the stock lowering to MLX.

    Each is one file of Markdown with title, versions, expected and got, a script under 20 lines,
    a test case, the handler or pass with its line, and a suggested fix. What is written was seen
    again first.

    Exit code 0: the reports are written. 2: could not run.
    """
    check_directory(every)
    names = tuple(name.strip() for name in (ops or "").split(",") if name.strip())
    out = console.stdout()
    with quietly_loaded(), console.progress() as progress:
        from harness.zoo import Request, bugs_of, read_sweep, run
        from harness.zoo.reports import write_reports

        found = run(Request(names, jobs), progress) if sweep is None else read_sweep(sweep)
        done = list(write_reports(bugs_of(found, names), found, every, progress))
    for bug, path in done:
        text = f"wrote {path.name}" if path else f"{bug.name} is not to be seen in its own type"
        out.print(text, markup=False, highlight=False)
