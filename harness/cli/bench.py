"""``voxtral-parity bench``: how quick the executor is, the export (``--export``), or speech."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import console
from harness.cli.options import (
    FramesOption,
    RunnerPathOption,
    RunnerTimeoutOption,
    SeqLenOption,
)

if TYPE_CHECKING:
    from harness.parity.speaking import Utterance

__all__ = ["bench"]


def bench(
    methods: Annotated[
        list[str] | None,
        typer.Argument(metavar="[METHOD]...", help="With --export: all six by default."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Runs of each: the best counts, of exports the median.")
    ] = 5,
    plain: Annotated[
        bool, typer.Option("--plain/--no-plain", help="Also time stock MLX, as its wheel comes.")
    ] = True,
    export: Annotated[
        bool, typer.Option("--export", help="Time exports beside upstream's own lowering instead.")
    ] = False,
    runs: Annotated[
        int | None,
        typer.Option("--runs", metavar="N", min=1, help="Time N speeches instead, as upstream."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR|PRESET",
            help="With --export: what; tiny and small by default. With --runs: one; tiny.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --export or --runs: write every time taken."),
    ] = None,
    executor: Annotated[
        list[str] | None,
        typer.Option("--executor", metavar="E", help="With --runs: as synth's; may be repeated."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --runs: compare with what --json wrote before."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="With --runs: upstream's sentence.")] = None,
    voice: Annotated[str | None, typer.Option(help="With --runs: as synth's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="With --runs: 42.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="With --runs: most frames to make; 2048.")
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="With --runs: decode while frames are made.")
    ] = False,
    precision: Annotated[
        str | None, typer.Option(metavar="P", help="With --runs: fp32, bf16 or bf16-4w8w.")
    ] = None,
    artifacts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --runs: speak with two given files.")
    ] = None,
    max_seq_len: SeqLenOption = None,
    max_codec_frames: FramesOption = None,
    runner_path: RunnerPathOption = None,
    runner_timeout: RunnerTimeoutOption = 3600.0,
) -> None:
    """Time the portable executor at full width, beside eager PyTorch.

    With --runs, time speeches as upstream's benchmark does, each in a process of its own.
    With --export, time every method's export beside stock's: exit code 1 if one takes longer
    than a fifth more.
    """
    speech = {
        "--executor": executor, "--against": against, "--text": text, "--voice": voice,
        "--seed": seed, "--max-new-tokens": max_new_tokens, "--streaming": streaming or None,
        "--precision": precision, "--artifacts": artifacts, "--max-seq-len": max_seq_len,
        "--max-codec-frames": max_codec_frames, "--runner-path": runner_path,
    }  # fmt: skip
    strays = [name for name, value in speech.items() if value is not None]
    if runs is None and strays:
        raise typer.BadParameter(f"{strays[0]} goes with --runs")
    if runs is not None and (export or methods or len(checkpoint or ()) > 1):
        raise typer.BadParameter("--runs goes with one --checkpoint, no METHOD and no --export")
    if runs is not None:
        from harness.parity.request import SEED, TEXT
        from harness.parity.speaking import MAX_NEW_TOKENS, Utterance

        wish = Utterance(
            text=TEXT if text is None else text,
            voice=voice,
            seed=SEED if seed is None else seed,
            max_new_tokens=max_new_tokens or MAX_NEW_TOKENS,
            streaming=streaming,
        )
        options = {
            "checkpoint": (checkpoint or ["tiny"])[0],
            "precision": precision or "fp32",
            "artifacts": artifacts,
            "max_seq_len": max_seq_len,
            "max_codec_frames": max_codec_frames,
            "runner_timeout": runner_timeout,
        }
        _bench_speech(runs, wish, executor or ["auto"], runner_path, options, json, against)
        return
    if export:
        _bench_export(checkpoint or ["tiny", "small"], tuple(methods or ()), rounds, json)
        return
    if methods or checkpoint or json:
        raise typer.BadParameter("METHOD, --checkpoint and --json go with --export or --runs")
    from rich.table import Table

    from harness.bench.measure import bench as run

    table = Table("what", "best", "over eager, or over the target", "target", "met")
    with console.progress() as progress:
        for row in run(progress, rounds=rounds, plain=plain):
            progress(f"{row.subject}: {row.figure}")
            numbers = ("" if n is None else f"{n:.2f}" for n in (row.ratio, row.target))
            table.add_row(
                row.subject, row.figure, *numbers, {None: "", True: "yes"}.get(row.met, "no")
            )
    console.stdout().print(table)


def _bench_speech(
    runs: int,
    wish: Utterance,
    executors: list[str],
    runner_path: Path | None,
    options: dict[str, Any],
    json_file: Path | None,
    against: Path | None,
) -> None:
    from harness.bench.figures import read_benchmark, write_benchmark
    from harness.bench.speaking import bench_speaking, contestants, subject_of
    from harness.bench.table import print_benchmark
    from harness.files import check_targets
    from harness.parity import Parity

    check_targets(json_file)
    requests = contestants(executors, runner_path, options)
    saved = None if against is None else read_benchmark(against)
    with console.progress() as progress:
        if saved is not None:
            parity = Parity(next(iter(requests.values())), progress)
            saved.check_same(subject_of(parity, wish))  # before the work, not after it
        benchmark = bench_speaking(requests, wish, runs, progress)
    if json_file is not None:
        write_benchmark(json_file, benchmark)
    print_benchmark(benchmark, console.stdout(), saved, against)


def _bench_export(
    checkpoints: list[str], methods: tuple[str, ...], rounds: int, json_file: Path | None
) -> None:
    import json
    from statistics import median

    from rich.table import Table

    from harness.bench.exporting import LIMIT, bench_export
    from harness.files import replace_file
    from harness.methods import select_methods

    chosen = select_methods(methods)
    table = Table("checkpoint", "method", "ours", "stock", "ratio", f"≤ {LIMIT}", "compared")
    timings = []
    with console.progress() as progress:
        for checkpoint in checkpoints:
            for timing in bench_export(checkpoint, progress, methods=chosen, rounds=rounds):
                timings.append(timing)
                table.add_row(
                    timing.checkpoint,
                    timing.method,
                    f"{median(timing.ours):.2f} s",
                    f"{median(timing.stock):.2f} s",
                    f"{timing.ratio:.2f}",
                    "yes" if timing.met else "no",
                    timing.note or "the same module",
                )
    console.stdout().print(table)
    if json_file is not None:
        with replace_file(json_file) as scratch:
            scratch.write_text(json.dumps([timing.as_json() for timing in timings], indent=1))
    if not all(timing.met for timing in timings):
        raise typer.Exit(1)
