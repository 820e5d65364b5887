"""From a checkpoint to a judged voice in one shot: ``nox -s e2e -- CHECKPOINT``.

Exports both files, lets them speak offline and streaming, judges them, times them, and leaves
everything in one directory. Each step is a command of its own, as a user would type it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from harness.errors import HarnessError
from harness.parity.request import RUNNER, Request
from harness.parity.speaking import with_room_for_chunks
from harness.process import call_self, flags
from harness.synthesis import TEXT

__all__ = ["main"]

Step = tuple[str, tuple[str, ...], tuple[str, ...]]
"""What it is for, its command, and the files that it leaves."""

_MEANING = {0: "passed", 1: "a mismatch", 2: "could not be judged"}


def _steps(options: argparse.Namespace) -> list[Step]:
    """The steps, the export first: no other runs without it."""
    where: Path = options.output_dir
    weights = {"checkpoint": options.checkpoint, "precision": options.precision}
    speaks = {**weights, "artifacts": where}
    executor = {"executor": options.executor, "require": options.require}
    path = options.runner_path
    program = {"executor": RUNNER, "runner-path": path} if path else {}
    listen = {"asr": options.asr, "asr-command": options.asr_command}
    # Room to stream: the usual codec of `tiny` decodes fewer frames than a chunk with its context.
    room = with_room_for_chunks(Request(checkpoint=options.checkpoint))
    sizes = {"max-codec-frames": room.max_codec_frames, "output-dir": where}

    def speech(how: str) -> Step:
        wav, told = f"{how}.wav", f"{how}.json"
        written = {"streaming": how == "streaming", "output": where / wav, "json": where / told}
        said = flags({"text": TEXT, **speaks, **executor, **listen, **written})
        return f"speak, {how}", ("synth", *said), (wav, told)

    def judged(name: str, by: Mapping[str, object], file: str) -> Step:
        return name, ("check", *flags({**speaks, **by, **listen, "json": where / file})), (file,)

    runner = [judged("judge the runner", program, "runner-report.json")] if program else []
    timed = {"runs": options.runs, **speaks, "executor": options.executor}
    timed["json"] = where / "bench.json"
    return [
        ("export", ("export", *flags({**weights, **sizes})), ("model.pte", "codec_decoder.pte")),
        speech("offline"),
        speech("streaming"),
        judged("judge", executor, "report.json"),
        *runner,
        ("time", ("bench", "speech", *flags(timed), *flags(program)), ("bench.json",)),
    ]


def _run(steps: Sequence[Step], where: Path) -> tuple[Table, int]:
    """Run the steps in order: how each ended and what it left, and the exit code of all.

    What an earlier shot left under their names goes first. The code is 1 if any found a mismatch,
    else 2 if any could not be judged, else 0.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for header in ("step", "exit code", "", "took", f"in {where}"):
        table.add_column(header)
    for _, _, leaves in steps:
        for name in leaves:
            (where / name).unlink(missing_ok=True)
    codes: list[int] = []
    for name, command, leaves in steps:
        if codes and codes[0]:
            table.add_row(name, "", "not run: there is no export")
            continue
        print(f"\n== {name}: voxtral-parity {' '.join(command)}", flush=True)
        started = time.monotonic()
        code = call_self(command, quietly=False).returncode
        # Death by a signal says as little of the voice as any other end without a judgement.
        codes.append(code if code in _MEANING else 2)
        left = [file for file in leaves if (where / file).is_file()]
        took = f"{time.monotonic() - started:.1f} s"
        told = (str(codes[-1]), _MEANING[codes[-1]], took, ", ".join(left) or "nothing")
        table.add_row(name, *told)
    return table, 1 if 1 in codes else max(codes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps on a checkpoint; the exit code of all."""
    parser = argparse.ArgumentParser(prog="nox -s e2e --", description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", nargs="?", default="tiny", help="preset or directory; tiny")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or bf16-4w8w")
    parser.add_argument("--executor", default="auto", help="as of check")
    parser.add_argument("--require", help="exit 2 unless this executor can run here")
    parser.add_argument("--runner-path", type=Path, help="also judge and time upstream's runner")
    parser.add_argument("--runs", type=int, default=3, help="of the benchmark; 3")
    parser.add_argument("--asr", help="listen to the WAV files: apple, pocketsphinx, …")
    parser.add_argument("--asr-command", help="with --asr command")
    parser.add_argument("--output-dir", type=Path, default=Path("build/e2e"))
    options = parser.parse_args(arguments)
    try:
        steps = _steps(options)
        options.output_dir.mkdir(parents=True, exist_ok=True)
    except (HarnessError, OSError) as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    table, code = _run(steps, options.output_dir)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print()
    console.print(table)
    console.print(f"exit code {code}, {_MEANING[code]}", highlight=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
