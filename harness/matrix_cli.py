"""``voxtral-parity matrix``: every method in every precision on both lowerings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from harness.parity.matrix import Cell

__all__ = ["add_matrix"]

_STYLES = {"pass": "green", "fail": "bold red", "unjudged": "bold yellow"}

Progress = Callable[[], AbstractContextManager[Callable[[str], None]]]


def add_matrix(app: typer.Typer, progress: Progress, stdout: Callable[[], Console]) -> None:
    """Add the command to `app`; the other two are how it speaks to the user."""

    @app.command()
    def matrix(
        methods: Annotated[
            list[str] | None, typer.Argument(metavar="[METHOD]...", help="All six by default.")
        ] = None,
        checkpoint: Annotated[
            str,
            typer.Option("--checkpoint", metavar="DIR|PRESET", help="Preset or directory."),
        ] = "tiny",
        precisions: Annotated[
            str | None,
            typer.Option(metavar="P,P…", help="Comma-separated; every precision by default."),
        ] = None,
        executor: Annotated[
            str, typer.Option("--executor", metavar="E", help="What runs MLX.")
        ] = "auto",
    ) -> None:
        """Judge methods × precisions × {MLX, XNNPACK}, and triangulate each with eager.

        A cell shows how it came out and how much of the allowance was used. Exit code 0: every
        cell passed. 1: a mismatch. 2: could not judge.
        """
        from harness.compare import exit_code
        from harness.methods.precision import PRECISIONS
        from harness.parity import Request
        from harness.parity.matrix import cells
        from harness.report import print_verdicts

        chosen = tuple(precisions.split(",")) if precisions is not None else tuple(PRECISIONS)
        request = Request(checkpoint=checkpoint, methods=tuple(methods or ()), executor=executor)
        with progress() as say:
            judged = list(cells(request, chosen, say))
        verdicts = [verdict for cell in judged for verdict in cell.verdicts]
        console = stdout()
        wrong = [verdict for verdict in verdicts if verdict.status.value != "pass"]
        if wrong:
            print_verdicts(wrong, console)
        console.print(_table(judged, checkpoint))
        code = exit_code(verdicts)
        console.print(f"{len(judged)} cells of {len(verdicts)} verdicts → exit code {code}")
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
