"""``voxtral-parity matrix``: every method in every precision on both lowerings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli import options
from harness.cli.console import progress, stdout
from harness.cli.options import option

if TYPE_CHECKING:
    from harness.parity.matrix import Cell

__all__ = ["matrix"]

_CHECKPOINTS = ("tiny", "small")

_STYLES = {"pass": "green", "fail": "bold red", "unjudged": "bold yellow"}


def matrix(
    methods: options.Methods = None,
    checkpoint: options.Checkpoints = None,
    precision: Annotated[
        list[str] | None, option("--precision", "P", "Repeatable; every precision by default.")
    ] = None,
    executor: Annotated[str, option("--executor", "E", "What runs MLX.")] = "auto",
) -> None:
    """Judge methods × precisions × {MLX, XNNPACK}, and triangulate each with eager.

    A cell shows how it came out and how much of the allowance was used. Exit code 0: every
    cell passed. 1: a mismatch. 2: could not judge.
    """
    from harness.compare import Status, Verdict, exit_code
    from harness.methods import select_methods
    from harness.methods.precision import PRECISIONS
    from harness.parity import Request
    from harness.parity.matrix import cells, distinct
    from harness.report import print_verdicts
    from harness.runtime.select import choose

    chosen = tuple(precision or PRECISIONS)
    select_methods(methods or ())  # a typo is answered before the first checkpoint is opened
    choose(executor)
    console, verdicts, tables = stdout(), list[Verdict](), []
    for name in checkpoint or _CHECKPOINTS:
        request = Request(checkpoint=name, methods=tuple(methods or ()), executor=executor)
        started = time.monotonic()
        with progress() as say:
            judged = list(cells(request, chosen, say))
        tables.append((_table(judged, name), judged, time.monotonic() - started))
        verdicts += distinct(judged)
    wrong = [verdict for verdict in verdicts if verdict.status is not Status.PASS]
    if wrong:
        print_verdicts(wrong, console)
    for table, judged, seconds in tables:
        console.print(table)
        count = len(distinct(judged))
        console.print(f"{len(judged)} cells of {count} verdicts in {seconds:.0f} s")
    code = exit_code(verdicts)
    console.print(f"exit code {code}")
    raise typer.Exit(code)


def _table(judged: Sequence[Cell], checkpoint: str) -> Table:
    from harness.parity.matrix import COLUMNS

    made = Table("precision", "method", *COLUMNS, title=checkpoint, title_justify="left")
    rows: dict[tuple[str, str], dict[str, Text]] = {}
    for cell in judged:
        row = rows.setdefault((cell.precision, cell.method), {})
        row[cell.column] = Text(_words(cell), style=_STYLES[cell.status.value])
    for (precision, method), row in rows.items():
        made.add_row(precision, method, *(row[column] for column in COLUMNS))
    return made


def _words(cell: Cell) -> str:
    used = cell.headroom_used
    if cell.status.value == "unjudged" or not math.isfinite(used):
        return str(cell.status)
    return f"{cell.status} {used:.0%}"
