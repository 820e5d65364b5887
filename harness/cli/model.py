"""``voxtral-parity model``: judge any module that ExecuTorch lowers to MLX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import console, options
from harness.cli.faces import Faces, tell
from harness.cli.factories import called, load_factory
from harness.cli.options import flag, option
from harness.files import check_directory

__all__ = ["model"]


def model(
    factory: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FACTORY", help="A function that returns (module, args) or a Model."
        ),
    ],
    precision: Annotated[
        str | None,
        option("--precision", "P", "fp32, bf16 or bf16-4w8w; the module's own by default."),
    ] = None,
    executor: options.Executor = "auto",
    require: options.Require = None,
    pte: Annotated[
        Path | None, option("--pte", "FILE", "Judge this export of the module; export nothing.")
    ] = None,
    partial: Annotated[
        bool, flag("--partial", "Let operators stay outside of the MLX delegate.")
    ] = False,
    without: Annotated[
        list[str] | None,
        option("--without", "CORRECTION", "Put a stock lowering back; see `doctor`. Repeatable."),
    ] = None,
    fresh: Annotated[bool, flag("--fresh", "Make again what the cache has.")] = False,
    repro: Annotated[
        Path | None, option("--repro", "DIR", "Write a minimal script and test case of each node.")
    ] = None,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    report_directory: options.ReportDirectory = None,
) -> None:
    """Judge any torch module that ExecuTorch lowers to MLX.

    MODULE is a file or an importable module; FACTORY a function in it, without arguments, that
    returns (module, args), (module, args, kwargs) or a harness.plugin.Model.

    Exit code 0: every verdict passed. 1: a mismatch. 2: could not judge.
    """
    faces = Faces(json, junit, markdown, report_directory)
    faces.check()
    if repro is not None:
        check_directory(repro)
    name, make = load_factory(factory)
    from harness.anymodel import Options, as_model, judge_model, write_repros

    given: dict[str, Any] = {}
    if pte is not None:
        given["pte"] = pte
    if partial:
        given["partial"] = True
    chosen = Options(precision, executor, require, tuple(without or ()), fresh)
    with console.progress() as progress:
        subject = as_model(called(make, factory), name, **given)
        judged = judge_model(subject, chosen, progress, command=console.command_line())
    written = [] if repro is None else write_repros(judged, repro)
    for path in written:
        console.stderr(f"wrote {path.name}")
    tell(judged.report, faces)
