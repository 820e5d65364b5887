"""``voxtral-parity localize``: from a failing method to the first wrong node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console, options
from harness.cli.options import option

__all__ = ["localize"]


def localize(
    method: Annotated[str, typer.Argument(help="One of the six methods.")],
    case: Annotated[
        str | None, option("--case", "LABEL", "A case of the report; the first that is wrong.")
    ] = None,
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
    require: options.Require = None,
    max_seq_len: options.SeqLen = None,
    max_codec_frames: options.Frames = None,
    artifacts: options.Artifacts = None,
    codec_form: Annotated[str, option("--codec-form", "FORM", "conv or unfold.")] = "conv",
    without: Annotated[
        list[str] | None,
        option("--without", "CORRECTION", "Put a stock lowering back; see `doctor`. Repeatable."),
    ] = None,
    repro: Annotated[
        Path | None, option("--repro", "DIR", "Write a minimal script and test case of each node.")
    ] = None,
) -> None:
    """Name the first wrong node of a method, whose fault it is, and prove it.

    Exit code 0: both links hold. 1: a node is wrong. 2: could not judge.
    """
    from harness.files import check_directory
    from harness.methods import select_methods

    if repro is not None:
        check_directory(repro)
    (chosen,) = select_methods((method,))
    from harness.budget import COMMITTED
    from harness.localize.explain import localize as find
    from harness.localize.find import Line
    from harness.parity import Request
    from harness.parity.artifacts import export, open_artifacts
    from harness.parity.check import open_models
    from harness.parity.plan import resolve
    from harness.parity.record import record

    request = Request(
        checkpoint=checkpoint,
        methods=(method,),
        precision=precision,
        executor=executor,
        require=require,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        codec_form=codec_form,
        without=tuple(without or ()),
        artifacts=artifacts,
    )
    with console.progress() as progress:
        models = open_models(request, progress)
        plan = resolve(request, models.checkpoint)
        evidence = record(plan, models, progress=progress)
        made = (
            export(plan, models, progress=progress)
            if artifacts is None
            else open_artifacts(plan, artifacts)
        )
        line = Line(plan, evidence, made, models, COMMITTED, progress)
        found = find(request, line, chosen, case)
    out = console.stdout()
    if not found:
        out.print(f"{method}: both links hold; no node is wrong", markup=False, highlight=False)
        raise typer.Exit(0)
    for one in found:
        out.print(f"{one.method}, {one.case}, call {one.call}", style="bold", markup=False)
        for text in (s for finding in one.findings for s in finding.sentences()):
            out.print(f"  {text}", markup=False, highlight=False)
        out.print(f"  {one.proof}", markup=False, highlight=False)
    if repro is not None:
        from harness.localize.repro import write_repros

        findings = [finding for one in found for finding in one.findings]
        call = evidence.cases[method][0].case.calls[0]
        for path in write_repros(line.graph(chosen), call, findings, plan.without, repro):
            out.print(f"  wrote {path.name}", markup=False, highlight=False)
    raise typer.Exit(1)
