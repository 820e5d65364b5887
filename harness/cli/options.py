"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CheckpointOption = Annotated[
    str,
    typer.Option("--checkpoint", metavar="DIR|PRESET", help="tiny, small, full, or a directory."),
]
MethodsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[METHOD]...", help="All six by default.")
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", metavar="P", help="fp32, bf16 or bf16-4w8w.")
]
QLinearOption = Annotated[
    str | None,
    typer.Option("--qlinear", metavar="BITS", help="4w or 8w: decoder and flow-head linears."),
]
QLinearGroupOption = Annotated[
    int | None,
    typer.Option(
        "--qlinear-group-size",
        metavar="N",
        min=0,
        help="Weights that share a scale; 0: a row.",
    ),
]
ScopeOption = Annotated[
    str | None,
    typer.Option(
        "--decoder-qlinear-scope",
        metavar="WHICH",
        help="Decoder linears: all, attention, feed_forward, none.",
    ),
]
QEmbeddingOption = Annotated[
    str | None, typer.Option("--qembedding", metavar="BITS", help="4w or 8w: both embeddings.")
]
QEmbeddingGroupOption = Annotated[
    int | None,
    typer.Option("--qembedding-group-size", metavar="N", min=0, help="The same for embeddings."),
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="E",
        help="auto, native, portable, portable:faithful, xnnpack or runner.",
    ),
]
RequireOption = Annotated[
    str | None,
    typer.Option(
        "--require", metavar="E", help="Exit 2 unless this executor can run on this machine."
    ),
]
SeqLenOption = Annotated[
    int | None,
    typer.Option("--max-seq-len", metavar="N", min=2, max=2**20, help="Positions of the KV cache."),
]
FramesOption = Annotated[
    int | None,
    typer.Option(
        "--max-codec-frames", metavar="N", min=1, max=2**16, help="Frames of one codec call."
    ),
]
TextOption = Annotated[str | None, typer.Option(help="What is said; upstream's sentence.")]
VoiceOption = Annotated[
    str | None,
    typer.Option("--voice", metavar="V", help="A voice's name, or its .pt or .bin file."),
]
SeedOption = Annotated[
    int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Of the noise and of the draws.")
]
RunnerPathOption = Annotated[
    Path | None,
    typer.Option("--runner-path", metavar="FILE", help="Upstream's runner, which then speaks."),
]
RunnerTimeoutOption = Annotated[
    float,
    typer.Option(
        "--runner-timeout", metavar="S", min=0.1, help="Seconds after which the runner is ended."
    ),
]
AsrOption = Annotated[
    str | None,
    typer.Option(
        "--asr",
        metavar="ENGINE",
        help="Transcribe the speech: apple, pocketsphinx, whisper or command.",
    ),
]
AsrCommandOption = Annotated[
    str | None,
    typer.Option(
        "--asr-command", metavar="COMMAND", help="With --asr command; {} is the WAV file."
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")
]
