"""``voxtral-parity inspect``: what is in a `.pte`, of any model and any backend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console

__all__ = ["inspect"]


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.pte", help="Any ExecuTorch program.")],
    data: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.ptd", help="Weights kept beside it.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="M", help="Only this one of its methods.")
    ] = None,
    instructions: Annotated[
        bool, typer.Option("--instructions", help="Also every step of every method.")
    ] = False,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Leave no rows of long tables out.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all of it there (docs/inspect-schema.md)."),
    ] = None,
) -> None:
    """Say what is in a .pte: delegates, coverage, weights, quantisation, metadata, steps."""
    from harness.files import check_targets, replace_file
    from harness.pte.inspection import print_contents, read_contents, to_json

    check_targets(json)
    contents = read_contents(file, data or (), method)
    if json is not None:
        with replace_file(json) as scratch:
            scratch.write_text(to_json(contents))
    print_contents(contents, console.stdout(), instructions=instructions, every=all_rows)
