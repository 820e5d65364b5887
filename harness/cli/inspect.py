"""``voxtral-parity inspect``: what is in a `.pte`, of any model and any backend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console
from harness.cli.options import flag, option

__all__ = ["inspect"]


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.pte", help="Any ExecuTorch program.")],
    data: Annotated[
        list[Path] | None, option("--data", "FILE.ptd", "Weights kept beside it.")
    ] = None,
    method: Annotated[str | None, option("--method", "M", "Only this one of its methods.")] = None,
    instructions: Annotated[
        bool, flag("--instructions", "Also every step of every method.")
    ] = False,
    all_rows: Annotated[bool, flag("--all", "Leave no rows of long tables out.")] = False,
    json: Annotated[
        Path | None, option("--json", "FILE", "Write all of it there (docs/inspect-schema.md).")
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
