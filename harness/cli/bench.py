"""``voxtral-parity bench``: how quick the executor is; ``--export``: how quick the export is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console

__all__ = ["bench"]


def bench(
    methods: Annotated[
        list[str] | None,
        typer.Argument(metavar="[METHOD]...", help="With --export: all six by default."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Runs of each: the best counts, of exports the median.")
    ] = 5,
    plain: Annotated[
        bool, typer.Option("--plain/--no-plain", help="Also time stock MLX, as its wheel comes.")
    ] = True,
    export: Annotated[
        bool, typer.Option("--export", help="Time exports beside upstream's own lowering instead.")
    ] = False,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR|PRESET", help="With --export: what; tiny and small by default."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --export: write every time taken.")
    ] = None,
) -> None:
    """Time the portable executor at full width, beside eager PyTorch.

    With --export, time every method's export beside stock's: exit code 1 if one takes longer
    than a fifth more.
    """
    if export:
        _bench_export(checkpoint or ["tiny", "small"], tuple(methods or ()), rounds, json)
        return
    if methods or checkpoint or json:
        raise typer.BadParameter("METHOD, --checkpoint and --json go with --export")
    from rich.table import Table

    from harness.bench.measure import bench as run

    table = Table("what", "best", "over eager, or over the target", "target", "met")
    with console.progress() as progress:
        for row in run(progress, rounds=rounds, plain=plain):
            progress(f"{row.subject}: {row.figure}")
            numbers = ("" if n is None else f"{n:.2f}" for n in (row.ratio, row.target))
            table.add_row(
                row.subject, row.figure, *numbers, {None: "", True: "yes"}.get(row.met, "no")
            )
    console.stdout().print(table)


def _bench_export(
    checkpoints: list[str], methods: tuple[str, ...], rounds: int, json_file: Path | None
) -> None:
    import json
    from statistics import median

    from rich.table import Table

    from harness.bench.exporting import LIMIT, bench_export
    from harness.cache import replace_file
    from harness.methods import select_methods

    chosen = select_methods(methods)
    table = Table("checkpoint", "method", "ours", "stock", "ratio", f"≤ {LIMIT}", "compared")
    timings = []
    with console.progress() as progress:
        for checkpoint in checkpoints:
            for timing in bench_export(checkpoint, progress, methods=chosen, rounds=rounds):
                timings.append(timing)
                table.add_row(
                    timing.checkpoint,
                    timing.method,
                    f"{median(timing.ours):.2f} s",
                    f"{median(timing.stock):.2f} s",
                    f"{timing.ratio:.2f}",
                    "yes" if timing.met else "no",
                    timing.note or "the same module",
                )
    console.stdout().print(table)
    if json_file is not None:
        with replace_file(json_file) as scratch:
            scratch.write_text(json.dumps([timing.as_json() for timing in timings], indent=1))
    if not all(timing.met for timing in timings):
        raise typer.Exit(1)
