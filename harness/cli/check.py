"""``voxtral-parity check``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console
from harness.cli.options import (
    AsrCommandOption,
    AsrOption,
    CheckpointOption,
    ExecutorOption,
    FramesOption,
    PrecisionOption,
    QEmbeddingGroupOption,
    QEmbeddingOption,
    QLinearGroupOption,
    QLinearOption,
    RequireOption,
    RunnerPathOption,
    RunnerTimeoutOption,
    ScopeOption,
    SeqLenOption,
)

__all__ = ["check"]


def check(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="All six by default.")
    ] = None,
    checkpoint: CheckpointOption = "tiny",
    precision: PrecisionOption = "fp32",
    qlinear: QLinearOption = None,
    qlinear_group_size: QLinearGroupOption = None,
    decoder_qlinear_scope: ScopeOption = None,
    qembedding: QEmbeddingOption = None,
    qembedding_group_size: QEmbeddingGroupOption = None,
    executor: ExecutorOption = "auto",
    require: RequireOption = None,
    max_seq_len: SeqLenOption = None,
    max_codec_frames: FramesOption = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Judge the two .pte files in DIR; export nothing."),
    ] = None,
    codec_form: Annotated[
        str,
        typer.Option(metavar="FORM", help="conv, or unfold: upstream's matrix form of the codec."),
    ] = "conv",
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="CORRECTION", help="Put a stock lowering back; see `doctor`."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Export even if cached.")] = False,
    triangulate: Annotated[
        bool, typer.Option("--triangulate", help="Ask XNNPACK for a third opinion.")
    ] = False,
    whole_path: Annotated[
        bool,
        typer.Option(
            "--whole-path/--no-whole-path",
            help="With all six methods, also let the executor speak by itself.",
        ),
    ] = True,
    text: Annotated[
        str | None, typer.Option(help="What is said; upstream's sentence, of which goldens are.")
    ] = None,
    asr: AsrOption = None,
    asr_command: AsrCommandOption = None,
    runner_path: RunnerPathOption = None,
    runner_timeout: RunnerTimeoutOption = 3600.0,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")
    ] = None,
) -> None:
    """Export, run and judge methods against eager PyTorch.

    Upstream's runner calls no method at anybody's wish: with --executor runner the whole path
    alone is judged, by its codes and WAV files.

    Exit code 0: every verdict passed. 1: a mismatch. 2: could not judge.
    """
    from harness.methods import select_methods
    from harness.methods.precision import parse_precision

    select_methods(methods or ())  # a typo is answered before the slow imports
    from harness.parity import Parity, Request
    from harness.parity.request import TEXT
    from harness.parity.speaking import Utterance, check_utterance
    from harness.report import print_report, write_json

    request = Request(
        checkpoint=checkpoint,
        methods=tuple(methods or ()),
        precision=parse_precision(
            precision,
            qlinear=qlinear,
            qlinear_group_size=qlinear_group_size,
            decoder_qlinear_scope=decoder_qlinear_scope,
            qembedding=qembedding,
            qembedding_group_size=qembedding_group_size,
        ),
        executor=executor,
        require=require,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        codec_form=codec_form,
        without=tuple(without or ()),
        artifacts=artifacts,
        fresh=fresh,
        triangulate=triangulate,
        whole_path=whole_path,
        asr=asr,
        asr_command=asr_command,
        text=TEXT if text is None else text,
        runner=runner_path,
        runner_timeout=runner_timeout,
    )
    with console.progress() as progress:
        parity = Parity(request, progress)
        if text is not None:
            check_utterance(parity, Utterance.of(parity.script))
        report = parity.report(command=console.command_line())
    if json is not None:
        write_json(report, json)
    print_report(report, console.stdout())
    raise typer.Exit(report.exit_code)
