"""``voxtral-parity zoo``: what the lowering to MLX makes of every operator that it claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console, options
from harness.cli.options import flag, option
from harness.errors import InputError
from harness.files import check_targets

__all__ = ["zoo"]


def zoo(
    ops: Annotated[
        str | None,
        option("--ops", "NAMES", "Operators or families, with commas between; all by default."),
    ] = None,
    jobs: Annotated[int, option("--jobs", "N", "Processes.", min=1)] = 2,
    shard: Annotated[str, option("--shard", "K/N", "The K-th of N parts of the programs.")] = "1/1",
    most: Annotated[int, option("--most", "N", "Programs of one operator.", min=1)] = 16,
    timeout: Annotated[
        float, option("--timeout", "S", "Seconds that one program may take.", min=1)
    ] = 120.0,
    against: Annotated[
        Path | None, option("--against", "FILE", "Say what changed from this sweep's JSON on.")
    ] = None,
    merge: Annotated[
        list[Path] | None,
        option("--merge", "FILE", "Run nothing; put the JSON of shards together. Repeatable."),
    ] = None,
    json: options.Json = None,
    markdown: options.Markdown = None,
    listed: Annotated[bool, flag("--list", "List operators and families; run nothing.")] = False,
) -> None:
    """Lower small programs of every operator that the MLX partitioner claims, and judge them.

    Each is lowered as upstream does and with this harness's corrections, run in float64 beside
    torch's float64, and on the portable executor beside eager.

    Exit code 0: no worse than --against, or nothing to compare with. 1: something became worse.
    2: could not judge.
    """
    check_targets(json, markdown)
    part = _shard(shard)
    from harness.zoo import Request, merged, read_sweep, run
    from harness.zoo.changes import changes
    from harness.zoo.page import page, summary
    from harness.zoo.sweep import write_sweep

    out = console.stdout()
    if listed:
        from harness.zoo.families import FAMILIES
        from harness.zoo.samples import claimed

        for name in (*claimed(), *FAMILIES):
            out.print(name, markup=False, highlight=False)
        return
    before = None if against is None else read_sweep(against)
    if merge:
        sweep = merged([read_sweep(path) for path in merge])
    else:
        names = tuple(name.strip() for name in (ops or "").split(",") if name.strip())
        with console.progress() as progress:
            sweep = run(Request(names, jobs, timeout, part, most), progress)
    if json is not None:
        write_sweep(sweep, json)
    if markdown is not None:
        from harness.files import replace_file

        with replace_file(markdown) as scratch:
            scratch.write_text(page(sweep), encoding="utf-8")
    for line in summary(sweep):
        out.print(line, markup=False, highlight=False)
    if before is None:
        return
    found = changes(before, sweep)
    for line in found.sentences():
        out.print(line, markup=False, highlight=False)
    raise typer.Exit(1 if found.worse else 0)


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--shard must be K/N with K from 1 to N, such as 1/4 (got {text!r})")
    return int(part), int(parts)
