"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsrCommandOption",
    "AsrOption",
    "CheckpointOption",
    "ExecutorOption",
    "FramesOption",
    "PrecisionOption",
    "QEmbeddingGroupOption",
    "QEmbeddingOption",
    "QLinearGroupOption",
    "QLinearOption",
    "RequireOption",
    "RunnerPathOption",
    "RunnerTimeoutOption",
    "ScopeOption",
    "SeqLenOption",
]

CheckpointOption = Annotated[
    str,
    typer.Option("--checkpoint", metavar="DIR|PRESET", help="tiny, small, full, or a directory."),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", metavar="P", help="fp32, bf16 or bf16-4w8w.")
]
QLinearOption = Annotated[
    str | None,
    typer.Option("--qlinear", metavar="4w|8w", help="Bits of decoder and flow-head linears."),
]
QLinearGroupOption = Annotated[
    int | None,
    typer.Option(
        "--qlinear-group-size",
        min=0,
        help="Weights that share a scale; 0: a whole row. Usually 32 for 4w, 0 for 8w.",
    ),
]
ScopeOption = Annotated[
    str | None,
    typer.Option(
        "--decoder-qlinear-scope",
        metavar="all|attention|feed_forward|none",
        help="Which of the decoder's linears; the flow head's always are.",
    ),
]
QEmbeddingOption = Annotated[
    str | None, typer.Option("--qembedding", metavar="4w|8w", help="Bits of both embeddings.")
]
QEmbeddingGroupOption = Annotated[
    int | None, typer.Option("--qembedding-group-size", min=0, help="As --qlinear-group-size.")
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
    int | None, typer.Option("--max-seq-len", min=1, help="Positions of the KV cache.")
]
FramesOption = Annotated[
    int | None, typer.Option("--max-codec-frames", min=1, help="Frames of one codec call.")
]
RunnerPathOption = Annotated[
    Path | None,
    typer.Option(
        "--runner-path", metavar="FILE", help="With --executor runner: upstream's program."
    ),
]
RunnerTimeoutOption = Annotated[
    float,
    typer.Option("--runner-timeout", min=0.1, help="Seconds after which the runner hangs."),
]
AsrOption = Annotated[
    str | None,
    typer.Option(
        "--asr",
        metavar="ENGINE",
        help="Listen to the WAV file: apple, pocketsphinx, whisper or command.",
    ),
]
AsrCommandOption = Annotated[
    str | None,
    typer.Option(
        "--asr-command", metavar="COMMAND", help="With --asr command; {} is the WAV file."
    ),
]
