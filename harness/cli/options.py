"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def option(name: str, metavar: str, text: str, **limits: Any) -> Any:
    """An option that takes a value."""
    return typer.Option(name, metavar=metavar, help=text, **limits)


CheckpointOption = Annotated[
    str, option("--checkpoint", "DIR|PRESET", "tiny, small, full, or a directory.")
]
MethodsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[METHOD]...", help="All six by default.")
]
PrecisionOption = Annotated[str, option("--precision", "P", "fp32, bf16 or bf16-4w8w.")]
QLinearOption = Annotated[
    str | None, option("--qlinear", "BITS", "4w or 8w: decoder and flow-head linears.")
]
QLinearGroupOption = Annotated[
    int | None, option("--qlinear-group-size", "N", "Weights that share a scale; 0: a row.", min=0)
]
ScopeOption = Annotated[
    str | None,
    option(
        "--decoder-qlinear-scope", "WHICH", "Decoder linears: all, attention, feed_forward, none."
    ),
]
QEmbeddingOption = Annotated[
    str | None, option("--qembedding", "BITS", "4w or 8w: both embeddings.")
]
QEmbeddingGroupOption = Annotated[
    int | None, option("--qembedding-group-size", "N", "The same for embeddings.", min=0)
]
ExecutorOption = Annotated[
    str, option("--executor", "E", "auto, native, portable, portable:faithful, xnnpack or runner.")
]
RequireOption = Annotated[
    str | None, option("--require", "E", "Exit 2 unless this executor can run on this machine.")
]
SeqLenOption = Annotated[
    int | None, option("--max-seq-len", "N", "Positions of the KV cache.", min=2, max=2**20)
]
FramesOption = Annotated[
    int | None, option("--max-codec-frames", "N", "Frames of one codec call.", min=1, max=2**16)
]
TextOption = Annotated[str | None, typer.Option(help="What is said; upstream's sentence.")]
VoiceOption = Annotated[
    str | None, option("--voice", "V", "A voice's name, or its .pt or .bin file.")
]
SeedOption = Annotated[
    int, option("--seed", "N", "Of the noise and of the draws.", min=0, max=2**32 - 1)
]
RunnerPathOption = Annotated[
    Path | None, option("--runner-path", "FILE", "Upstream's runner, which then speaks.")
]
RunnerTimeoutOption = Annotated[
    float, option("--runner-timeout", "S", "Seconds after which the runner is ended.", min=0.1)
]
AsrOption = Annotated[
    str | None,
    option("--asr", "ENGINE", "Transcribe the speech: apple, pocketsphinx, whisper or command."),
]
AsrCommandOption = Annotated[
    str | None, option("--asr-command", "COMMAND", "With --asr command; {} is the WAV file.")
]
JsonOption = Annotated[Path | None, option("--json", "FILE", "Write the report as JSON.")]
