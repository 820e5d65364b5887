"""``voxtral-parity check``: the main job."""

from __future__ import annotations

import datetime
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
    JsonOption,
    MethodsArgument,
    PrecisionOption,
    QEmbeddingGroupOption,
    QEmbeddingOption,
    QLinearGroupOption,
    QLinearOption,
    RequireOption,
    RunnerPathOption,
    RunnerTimeoutOption,
    ScopeOption,
    SeedOption,
    SeqLenOption,
    TextOption,
    VoiceOption,
)
from harness.files import check_targets

__all__ = ["check"]


def check(
    methods: MethodsArgument = None,
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
        typer.Option(metavar="DIR", help="Judge the .pte files in DIR; export nothing."),
    ] = None,
    codec_form: Annotated[
        str,
        typer.Option(metavar="FORM", help="conv, or unfold: upstream's matrix form of the codec."),
    ] = "conv",
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CORRECTION", help="Put a stock lowering back; see `doctor`. Repeatable."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make again what the cache has.")] = False,
    triangulate: Annotated[
        bool, typer.Option("--triangulate", help="Also run the methods on XNNPACK.")
    ] = False,
    speak: Annotated[
        bool,
        typer.Option(
            "--speak/--no-speak",
            help="With all six methods, also let the executor speak by itself.",
        ),
    ] = True,
    text: TextOption = None,
    voice: VoiceOption = None,
    seed: SeedOption = 42,
    asr: AsrOption = None,
    asr_command: AsrCommandOption = None,
    runner_path: RunnerPathOption = None,
    runner_timeout: RunnerTimeoutOption = 3600.0,
    json: JsonOption = None,
) -> None:
    """Export, run and judge methods against eager PyTorch.

    METHOD is token_embedding, audio_token_embedding, text_decoder, semantic_head,
    predict_velocity or codec. Upstream's runner cannot call one method at a time: with
    --runner-path, its speech alone is judged.

    Exit code 0: every verdict passed. 1: a mismatch. 2: could not judge.
    """
    check_targets(json)
    from harness.methods import select_methods
    from harness.methods.precision import parse_precision

    select_methods(methods or ())  # a typo is answered before the slow imports
    chosen = parse_precision(
        precision,
        qlinear=qlinear,
        qlinear_group_size=qlinear_group_size,
        decoder_qlinear_scope=decoder_qlinear_scope,
        qembedding=qembedding,
        qembedding_group_size=qembedding_group_size,
    )
    from harness.parity import Request, report
    from harness.parity import check as walk
    from harness.report import print_report, write_json
    from harness.synthesis import TEXT, Utterance

    request = Request(
        checkpoint=checkpoint,
        methods=tuple(methods or ()),
        precision=chosen,
        executor=executor,
        require=require,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        codec_form=codec_form,
        without=tuple(without or ()),
        artifacts=artifacts,
        fresh=fresh,
        triangulate=triangulate,
        speak=speak,
        utterance=Utterance(TEXT if text is None else text, voice, seed),
        asr=asr,
        asr_command=asr_command,
        runner=runner_path,
        runner_timeout=runner_timeout,
    )
    started = datetime.datetime.now(datetime.UTC)
    with console.progress() as progress:
        checked = walk(request, progress)
    made = report(checked, started, console.command_line())
    if json is not None:
        write_json(made, json)
    print_report(made, console.stdout())
    raise typer.Exit(made.exit_code)
