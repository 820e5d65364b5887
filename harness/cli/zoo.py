"""``voxtral-parity zoo``: what the lowering to MLX makes of operators, and of other models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import console, options
from harness.cli.options import flag, option
from harness.errors import InputError
from harness.files import check_targets
from harness.upstream import quietly_loaded

__all__ = ["zoo"]


def zoo(
    ops: Annotated[
        str | None,
        option("--ops", "NAMES", "Operators or families, with commas between; all by default."),
    ] = None,
    architectures: Annotated[
        str | None,
        option(
            "--architectures",
            "NAMES",
            "Judge models of transformers instead: architectures or kinds, with commas, or all.",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        option("--precision", "P", "Of architectures: fp32 or bf16; both by default."),
    ] = None,
    jobs: Annotated[int, option("--jobs", "N", "Processes.", min=1)] = 2,
    shard: Annotated[str, option("--shard", "K/N", "The K-th of N parts of the programs.")] = "1/1",
    most: Annotated[int, option("--most", "N", "Programs of one operator.", min=1)] = 16,
    timeout: Annotated[
        float,
        option("--timeout", "S", "Seconds that one program may take.", min=1, max=options.DAY),
    ] = 300.0,
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
    torch's float64, and on the portable executor beside eager. --architectures does the same with
    tiny models of transformers, which must be installed, exported by its own exporter.

    Exit code 0: no worse than --against, or nothing to compare with. 1: something became worse.
    2: could not judge.
    """
    check_targets(json, markdown)
    part = _shard(shard)
    if ops is not None and architectures is not None:
        raise InputError("--ops and --architectures are two sweeps: give one of them")
    for flag_name, text in (("--ops", ops), ("--architectures", architectures)):
        if text is not None and not _names(text):
            raise InputError(f"{flag_name} must give names, with commas between (got none)")
    if precision is not None and architectures is None:
        raise InputError("--precision is one of --architectures, which is missing")
    with quietly_loaded():
        kind, face = _operators() if architectures is None else _architectures()
    from harness.zoo.changes import changes

    out = console.stdout()
    if listed:
        for name in kind.names():
            out.print(name, markup=False, highlight=False)
        return
    before = None if against is None else kind.read_sweep(against)
    if merge:
        sweep = kind.merged([kind.read_sweep(path) for path in merge])
    else:
        if architectures is None:
            request = kind.Request(_names(ops), jobs, timeout, part, most)
        else:
            precisions = ("fp32", "bf16") if precision is None else (precision,)
            chosen = () if architectures == "all" else _names(architectures)
            request = kind.Request(chosen, precisions, jobs, timeout, part)
        with console.progress() as progress:
            sweep = kind.run(request, progress)
    if json is not None:
        kind.write_sweep(sweep, json)
    if markdown is not None:
        from harness.files import replace_file

        with replace_file(markdown) as scratch:
            scratch.write_text(face.page(sweep), encoding="utf-8")
    for line in face.summary(sweep):
        out.print(line, markup=False, highlight=False)
    if before is None:
        return
    found = changes(before, sweep)
    for line in found.sentences():
        out.print(line, markup=False, highlight=False)
    raise typer.Exit(1 if found.worse else 0)


def _operators() -> tuple[Any, Any]:
    from harness.zoo import page, sweep

    return sweep, page


def _architectures() -> tuple[Any, Any]:
    from harness.zoo.architectures import page, sweep

    return sweep, page


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise InputError(f"--shard must be K/N with K from 1 to N, such as 1/4 (got {text!r})")
    return int(part), int(parts)
