"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.errors import one_of

if TYPE_CHECKING:
    from harness.parity.request import Request


def option(name: str, metavar: str, text: str, **limits: Any) -> Any:
    """An option that takes a value."""
    return typer.Option(name, metavar=metavar, help=text, **limits)


def flag(name: str, text: str) -> Any:
    """An option that is given or not; ``--x/--no-x`` for one that is on by itself."""
    return typer.Option(name, help=text)


MOST_POSITIONS, MOST_FRAMES, MOST_ROUNDS = 2**20, 2**16, 1000
"""Beyond these nobody has a model, or time."""

DAY = 86_400.0
"""In seconds."""

Checkpoint = Annotated[
    str, option("--checkpoint", "DIR|PRESET", "tiny, small, full, or a directory.")
]
Methods = Annotated[
    list[str] | None, typer.Argument(metavar="[METHOD]...", help="All six by default.")
]
Precision = Annotated[str, option("--precision", "P", "fp32, bf16 or bf16-4w8w.")]
QLinear = Annotated[
    str | None, option("--qlinear", "BITS", "4w or 8w: decoder and flow-head linears.")
]
QLinearGroup = Annotated[
    int | None, option("--qlinear-group-size", "N", "Weights that share a scale; 0: a row.", min=0)
]
Scope = Annotated[
    str | None,
    option(
        "--decoder-qlinear-scope", "WHICH", "Decoder linears: all, attention, feed_forward, none."
    ),
]
QEmbedding = Annotated[str | None, option("--qembedding", "BITS", "4w or 8w: both embeddings.")]
QEmbeddingGroup = Annotated[
    int | None, option("--qembedding-group-size", "N", "The same for embeddings.", min=0)
]
Executor = Annotated[
    str,
    option(
        "--executor",
        "E",
        "auto, native, portable, portable:faithful, portable:gpu, xnnpack or runner.",
    ),
]
Regime = Annotated[
    str | None,
    option(
        "--regime", "R", "Emulate a GPU's products on portable: tf32, bf16-accumulate, fp16-grid."
    ),
]
VirtualGpu = Annotated[
    bool, flag("--allow-virtual-gpu", "Judge on a virtual machine's GPU, where MLX is no proof.")
]
Require = Annotated[
    str | None, option("--require", "E", "Exit 2 unless this executor can run on this machine.")
]
SeqLen = Annotated[
    int | None,
    option("--max-seq-len", "N", "Positions of the KV cache.", min=2, max=MOST_POSITIONS),
]
Frames = Annotated[
    int | None,
    option("--max-codec-frames", "N", "Frames of one codec call.", min=1, max=MOST_FRAMES),
]
CodecForm = Annotated[
    str, option("--codec-form", "FORM", "conv, or unfold: upstream's matrix form of the codec.")
]
Without = Annotated[
    list[str] | None,
    option("--without", "CORRECTION", "Put a stock lowering back; see `doctor`. Repeatable."),
]
Fresh = Annotated[bool, flag("--fresh", "Make again what the cache has.")]
Speak = Annotated[
    bool,
    flag("--speak/--no-speak", "With all six methods, also let the executor speak by itself."),
]
Local = Annotated[str, option("--local", "some|all", "Calls whose every step is judged by itself.")]
Text = Annotated[str | None, typer.Option(help="What is said; upstream's sentence.")]
Voice = Annotated[
    str | None, option("--voice", "V", "A voice's name, or its .pt or .bin file; neutral_female.")
]
Seed = Annotated[int, option("--seed", "N", "Of the noise and of the draws.", min=0, max=2**32 - 1)]
Semantics = Annotated[
    str,
    option(
        "--semantics",
        "NAME",
        "Whose choices eager makes: executorch, vllm-omni, voxtral-tts.c or mlx-audio.",
    ),
]
RunnerPath = Annotated[
    Path | None, option("--runner-path", "FILE", "Upstream's runner, which then speaks.")
]
RunnerTimeout = Annotated[
    float, option("--runner-timeout", "S", "Seconds after which the runner is ended.", min=0.1)
]
Asr = Annotated[
    str | None,
    option("--asr", "ENGINE", "Transcribe the speech: apple, pocketsphinx, whisper or command."),
]
AsrCommand = Annotated[
    str | None, option("--asr-command", "COMMAND", "With --asr command; {} is the WAV file.")
]
Json = Annotated[Path | None, option("--json", "FILE", "Write what came out as JSON.")]
Junit = Annotated[Path | None, option("--junit", "FILE", "Write JUnit XML: a test case a verdict.")]
Markdown = Annotated[
    Path | None, option("--markdown", "FILE", "Write Markdown, for a job summary of GitHub.")
]
ReportDirectory = Annotated[
    Path | None, option("--report", "DIR", "Write a page, index.html, and report.json into DIR.")
]
Artifacts = Annotated[
    Path | None, option("--artifacts", "DIR", "Use the .pte files in DIR; export nothing.")
]
MaxNewTokens = Annotated[
    int, option("--max-new-tokens", "N", "Most frames to make.", min=1, max=MOST_POSITIONS)
]
Streaming = Annotated[bool, flag("--streaming", "Decode in chunks while frames are made.")]
Checkpoints = Annotated[
    list[str] | None,
    option("--checkpoint", "DIR|PRESET", "Repeatable; tiny and small by default."),
]


_QUANTISED = (
    "qlinear", "qlinear_group_size", "decoder_qlinear_scope", "qembedding", "qembedding_group_size",
)  # fmt: skip
_AS_GIVEN = (
    "checkpoint", "max_seq_len", "max_codec_frames", "codec_form", "artifacts", "fresh", "speak",
    "semantics",
)  # fmt: skip


def asked(given: Mapping[str, Any], **own: Any) -> Request:
    """What a command asks for that records and exports as `check` does.

    Parameters
    ----------
    given
        The command's arguments by name: those of the options above.
    **own
        Fields of the request that this command alone decides.
    """
    from harness.methods import select_methods
    from harness.methods.precision import parse_precision

    one_of("local", given["local"], ("some", "all"))
    methods = tuple(given["methods"] or ())
    select_methods(methods)  # a typo is answered before the slow imports
    precision = parse_precision(given["precision"], **{name: given[name] for name in _QUANTISED})
    from harness.parity.request import Request
    from harness.synthesis import TEXT, Utterance

    text = TEXT if given["text"] is None else given["text"]
    return Request(
        methods=methods,
        precision=precision,
        without=tuple(given["without"] or ()),
        local_all=given["local"] == "all",
        utterance=Utterance(text, given["voice"], given["seed"]),
        **{name: given[name] for name in _AS_GIVEN},
        **own,
    )
