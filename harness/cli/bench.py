"""``voxtral-parity bench kernels|export|links|speech``: how long each takes, beside what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console, options
from harness.cli.options import option

__all__ = ["app"]

app = typer.Typer(help="Time kernels, exports, the two links or speech.", no_args_is_help=True)

RoundsOption = Annotated[
    int, typer.Option(metavar="N", min=1, max=options.MOST_ROUNDS, help="Runs of each side.")
]
TimesOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write every time taken.")
]


@app.command()
def kernels(
    rounds: RoundsOption = 10,
) -> None:
    """Time the portable executor at full width, beside eager; the best round counts."""
    from rich.table import Table

    from harness.bench.measure import bench_kernels

    table = Table("what", "best", "over eager, or over the target", "target", "met")
    with console.progress() as progress:
        for row in bench_kernels(progress, rounds=rounds):
            progress(f"{row.subject}: {row.figure}")
            numbers = ("" if n is None else f"{n:.2f}" for n in (row.ratio, row.target))
            met = {None: "", True: "yes", False: "no"}[row.met]
            table.add_row(row.subject, row.figure, *numbers, met)
    console.stdout().print(table)


@app.command()
def export(
    methods: options.Methods = None,
    checkpoint: options.Checkpoints = None,
    rounds: RoundsOption = 5,
    json_file: TimesOption = None,
) -> None:
    """Time each method's export beside upstream's own lowering; the median round counts.

    Exit code 1 if an export takes longer than a fifth more.
    """
    from statistics import median

    from rich.table import Table

    from harness.bench.exporting import LIMIT, bench_export
    from harness.files import check_targets, write_json
    from harness.methods import select_methods

    check_targets(json_file)
    chosen = select_methods(methods or ())
    table = Table("checkpoint", "method", "ours", "stock", "ratio", f"≤ {LIMIT}", "compared")
    timings = []
    with console.progress() as progress:
        for name in checkpoint or ("tiny", "small"):
            for timing in bench_export(name, progress, methods=chosen, rounds=rounds):
                timings.append(timing)
                table.add_row(
                    timing.checkpoint,
                    timing.method,
                    f"{median(timing.ours_seconds):.2f} s",
                    f"{median(timing.stock_seconds):.2f} s",
                    f"{timing.ratio:.2f}",
                    "yes" if timing.met else "no",
                    timing.note or "the same module",
                )
    console.stdout().print(table)
    if json_file is not None:
        write_json(json_file, [timing.as_json() for timing in timings])
    if not all(timing.met for timing in timings):
        raise typer.Exit(1)


@app.command()
def links(
    checkpoint: options.Checkpoint = "tiny",
    precision: Annotated[
        list[str] | None, option("--precision", "P", "May be repeated; all three by default.")
    ] = None,
    rounds: RoundsOption = 3,
) -> None:
    """Time what the exact and the local link take of a warm check.

    Exit code 1 if a check takes more than 2.5 times as long with them.
    """
    from rich.table import Table

    from harness.bench.linking import LIMIT, bench_links
    from harness.methods.precision import PRECISIONS, parse_precision

    names = tuple(precision or PRECISIONS)
    for name in names:
        parse_precision(name)
    table = Table("precision", "check", "of it the links", "over a check without", f"≤ {LIMIT}")
    met = True
    with console.progress() as progress:
        for found in bench_links(names, progress, checkpoint=checkpoint, rounds=rounds):
            met = met and found.met
            cells = (f"{found.total:.2f} s", f"{found.links:.2f} s", f"{found.ratio:.2f}")
            table.add_row(found.precision, *cells, "yes" if found.met else "no")
    console.stdout().print(table)
    if not met:
        raise typer.Exit(1)


@app.command()
def speech(
    runs: Annotated[
        int, option("--runs", "N", "Speeches of each executor.", min=1, max=options.MOST_ROUNDS)
    ] = 3,
    executor: Annotated[
        list[str] | None, option("--executor", "E", "As synth's; may be repeated. auto.")
    ] = None,
    against: Annotated[
        Path | None, option("--against", "FILE", "Compare with what --json wrote before.")
    ] = None,
    text: options.Text = None,
    voice: options.Voice = None,
    seed: options.Seed = 42,
    max_new_tokens: options.MaxNewTokens = 2048,
    streaming: options.Streaming = False,
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    artifacts: options.Artifacts = None,
    max_seq_len: options.SeqLen = None,
    max_codec_frames: options.Frames = None,
    runner_path: options.RunnerPath = None,
    runner_timeout: options.RunnerTimeout = 3600.0,
    json_file: TimesOption = None,
) -> None:
    """Time speeches as upstream's benchmark does, each in a process of its own."""
    from harness.bench.figures import read_benchmark, write_benchmark
    from harness.bench.speaking import bench_speaking, contestants, subject_of_request
    from harness.bench.table import print_benchmark
    from harness.files import check_targets
    from harness.parity.request import RUNNER, Request
    from harness.synthesis import Utterance
    from harness.synthesis.utterance import TEXT

    check_targets(json_file)
    said = TEXT if text is None else text
    names = executor or ["auto" if runner_path is None else RUNNER]
    request = Request(
        checkpoint=checkpoint,
        precision=precision,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        artifacts=artifacts,
        utterance=Utterance(said, voice, seed, max_new_tokens=max_new_tokens, streaming=streaming),
        runner=runner_path,
        runner_timeout=runner_timeout,
    )
    requests = contestants(names, request)
    saved = None if against is None else read_benchmark(against)
    with console.progress() as progress:
        if saved is not None:
            saved.check_same(subject_of_request(request))  # before the work, not after it
        benchmark = bench_speaking(requests, runs, progress)
    if json_file is not None:
        write_benchmark(json_file, benchmark)
    print_benchmark(benchmark, console.stdout(), saved, against)
