"""The command line: `voxtral-parity --help`. The only module that knows all the rooms."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from harness.cache.command import app as cache_app
from harness.errors import HarnessError
from harness.export_cli import add_export
from harness.matrix_cli import add_matrix

__all__ = ["app", "main"]

LOG_WIDTH = 140

app = typer.Typer(
    help="Prove MLX-exported ExecuTorch programs of Voxtral TTS equal to the eager model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
golden_app = typer.Typer(help="Reviewed statistics of the codec's waveform.", no_args_is_help=True)
app.add_typer(golden_app, name="golden")
app.add_typer(cache_app, name="cache")

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
    str, typer.Option("--executor", metavar="E", help="auto, native, portable or xnnpack.")
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


@app.command()
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
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")
    ] = None,
) -> None:
    """Export, run and judge methods against eager PyTorch.

    Exit code 0: every verdict passed. 1: a mismatch. 2: could not judge.
    """
    from harness.methods import select_methods
    from harness.methods.precision import parse_precision

    select_methods(methods or ())  # a typo is answered before the slow imports
    from harness.parity import Parity, Request
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
    )
    with _progress() as progress:
        report = Parity(request, progress).report(command=_command())
    if json is not None:
        write_json(report, json)
    print_report(report, _stdout())
    raise typer.Exit(report.exit_code)


@app.command()
def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each; the best counts.")] = 5,
    plain: Annotated[
        bool, typer.Option("--plain/--no-plain", help="Also time MLX's own CPU kernels.")
    ] = True,
) -> None:
    """Time the portable executor at full width, beside eager PyTorch."""
    from rich.table import Table

    from harness.bench.measure import bench as run

    table = Table("what", "best", "over eager, or over the target", "target", "met")
    with _progress() as progress:
        for row in run(progress, rounds=rounds, plain=plain):
            progress(f"{row.subject}: {row.figure}")
            numbers = ("" if n is None else f"{n:.2f}" for n in (row.ratio, row.target))
            table.add_row(
                row.subject, row.figure, *numbers, {None: "", True: "yes"}.get(row.met, "no")
            )
    _stdout().print(table)


@app.command()
def doctor() -> None:
    """Say what this machine can run, and with which versions."""
    from rich.table import Table

    from harness.cache import cache_dir
    from harness.export.corrections import CORRECTIONS
    from harness.runtime.select import availability

    console = _stdout()
    versions = Table("package", "installed", "pinned", title="Export stack", title_justify="left")
    for name, pinned in _pins().items():
        versions.add_row(name, _installed(name), pinned)
    executors = Table("executor", "here", title="Executors", title_justify="left")
    for name, reason in availability().items():
        executors.add_row(name, escape(reason or "can run"))
    corrections = Table(
        "--without", "what stock does", title="Corrections to stock lowering", title_justify="left"
    )
    for correction in CORRECTIONS:
        corrections.add_row(correction.name, escape(correction.wrong))
    console.print(versions, executors, corrections)
    console.print(f"cache: {cache_dir()}", soft_wrap=True, markup=False)
    console.print(f"python {platform.python_version()} on {platform.platform()}", soft_wrap=True)


@golden_app.command("check")
def golden_check(checkpoint: CheckpointOption = "tiny", executor: ExecutorOption = "auto") -> None:
    """Compare the codec's waveform with its golden. Exit codes as for `check`."""
    from harness.compare import exit_code
    from harness.parity import KeptSound, Parity, Request
    from harness.report import print_verdicts

    with _progress() as progress:
        parity = Parity(Request(checkpoint=checkpoint, executor=executor), progress)
        verdicts = KeptSound(parity).judge()
    print_verdicts(verdicts, _stdout())
    raise typer.Exit(exit_code(verdicts))


@golden_app.command("bless")
def golden_bless(
    reason: Annotated[str, typer.Option("--reason", help="Why the golden may change; kept in it.")],
    checkpoint: CheckpointOption = "tiny",
    executor: ExecutorOption = "auto",
) -> None:
    """Make this run the golden; refused while parity with eager is not green."""
    from harness.golden import changes
    from harness.parity import KeptSound, Parity, Request

    with _progress() as progress:
        parity = Parity(Request(checkpoint=checkpoint, executor=executor), progress)
        blessed = KeptSound(parity).bless(reason)
    console = _stdout()
    if blessed.previous is not None:
        for change in changes(blessed.previous, blessed.golden.statistics):
            console.print(f"  {change}", markup=False, soft_wrap=True)
    console.print(f"blessed {blessed.golden.key}: {blessed.path}", markup=False, soft_wrap=True)


@golden_app.command("list")
def golden_list() -> None:
    """List the goldens that are kept, with the reason each was blessed for."""
    from harness.golden import default_root, list_goldens, read

    root = default_root()
    console = _stdout()
    for key in list_goldens(root):
        golden = read(root, key)
        assert golden is not None
        console.print(
            f"{key}  {golden.provenance.date}  {golden.statistics.frames} frames, "
            f"peak {golden.statistics.peak:.5f}  {golden.reason}",
            markup=False,
            soft_wrap=True,
        )


def main() -> None:
    """Run the command line; a `HarnessError` is one sentence on stderr and exit code 2."""
    try:
        app()
    except HarnessError as error:
        Console(stderr=True, highlight=False).print(
            f"voxtral-parity: {error}", style="red", markup=False, soft_wrap=True
        )
        sys.exit(2)
    except Exception:
        # A fault of the harness itself: 1 would say that a mismatch was found.
        traceback.print_exc()
        sys.exit(2)


@contextmanager
def _progress() -> Any:
    """Show the current step on stderr: a spinner on a terminal, lines in a log."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield lambda text: status.update(text)
    else:
        yield lambda text: print(f"· {text}", file=sys.stderr, flush=True)


def _stdout() -> Console:
    """Standard output; a log, which has no width of its own, gets room for every column."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = LOG_WIDTH
    return console


add_export(app, _progress)
add_matrix(app, _progress, _stdout)


def _command() -> str:
    return " ".join(["voxtral-parity", *sys.argv[1:]])


def _pins() -> dict[str, str]:
    """The export stack's pins, read from the package's own metadata: pyproject.toml says them."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in metadata.requires("voxtral-parity") or []]
    stack = ("torch", "executorch", "torchao", "mlx", "mistral-common")
    return {r.name: str(r.specifier) for r in wanted if r.name in stack}


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
