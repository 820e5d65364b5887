"""From a checkpoint to a judged voice in one shot: ``nox -s e2e -- CHECKPOINT``.

Exports both files, lets them speak offline and streaming, judges them, times them, and leaves
everything in one directory. Each step is a command of its own, as a user would type it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from harness.errors import HarnessError
from harness.parity.request import RUNNER, Request
from harness.parity.speaking import with_room_for_chunks
from harness.process import call_self
from harness.synthesis import TEXT

__all__ = ["Step", "main", "run", "steps", "worst"]

Call = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]

_MEANING = {0: "passed", 1: "a mismatch", 2: "could not be judged"}


@dataclass(frozen=True)
class Step:
    """One command: what it is for, its arguments, and the files that it leaves."""

    name: str
    arguments: tuple[str, ...]
    leaves: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its exit code (None: it was not run) and its seconds."""

    step: Step
    code: int | None
    seconds: float = 0.0


def steps(options: argparse.Namespace) -> list[Step]:
    """The steps, the export first: no other runs without it."""
    where: Path = options.output_dir
    weights = ("--checkpoint", options.checkpoint)
    speaks = (*weights, "--precision", options.precision, "--artifacts", str(where))
    executor = _given(executor=options.executor, require=options.require)
    program: tuple[str, ...] = ()
    if options.runner_path:
        program = ("--executor", RUNNER, "--runner-path", str(options.runner_path))
    listen = _given(asr=options.asr, asr_command=options.asr_command)
    # Room to stream: the usual codec of `tiny` decodes fewer frames than a chunk with its context.
    room = with_room_for_chunks(Request(checkpoint=options.checkpoint))
    sizes = _given(max_codec_frames=room.max_codec_frames)

    def step(name: str, command: Sequence[str], *leaves: str) -> Step:
        return Step(name, tuple(command), leaves)

    def speech(name: str, *flags: str) -> Step:
        files = (f"{name}.wav", f"{name}.json")
        written = ("--output", str(where / files[0]), "--json", str(where / files[1]))
        said = ("synth", "--text", TEXT, *speaks, *executor, *flags, *listen, *written)
        return step(f"speak, {name}", said, *files)

    def judged(name: str, by: Sequence[str], file: str) -> Step:
        return step(name, ("check", *speaks, *by, *listen, "--json", str(where / file)), file)

    exported = ("export", *weights, "--precision", options.precision, *sizes)
    found = [
        step("export", (*exported, "--output-dir", str(where)), "model.pte", "codec_decoder.pte"),
        speech("offline"),
        speech("streaming", "--streaming"),
        judged("judge", executor, "report.json"),
    ]
    if program:
        found.append(judged("judge the runner", program, "runner-report.json"))
    runs = ("--runs", str(options.runs))
    timed = ("bench", "speech", *runs, *speaks, "--executor", options.executor)
    file = "bench.json"
    found.append(step("time", (*timed, *program, "--json", str(where / file)), file))
    return found


def _given(**options: object) -> tuple[str, ...]:
    """Flags of the options that are something."""
    return tuple(
        word
        for name, value in options.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    )


def run(plan: Sequence[Step], where: Path, call: Call) -> list[Outcome]:
    """Run the steps in order; what an earlier shot left under their names goes first."""
    for step in plan:
        for name in step.leaves:
            (where / name).unlink(missing_ok=True)
    outcomes: list[Outcome] = []
    for step in plan:
        if outcomes and outcomes[0].code != 0:
            outcomes.append(Outcome(step, None))
            continue
        print(f"\n== {step.name}: voxtral-parity {' '.join(step.arguments)}", flush=True)
        started = time.monotonic()
        code = call(step.arguments).returncode
        # Death by a signal says as little of the voice as any other end without a judgement.
        outcomes.append(Outcome(step, code if code in (0, 1) else 2, time.monotonic() - started))
    return outcomes


def worst(outcomes: Sequence[Outcome]) -> int:
    """Exit code of all: 1 if any found a mismatch, else 2 if any could not be judged, else 0."""
    codes = {outcome.code for outcome in outcomes}
    return 1 if 1 in codes else 0 if codes == {0} else 2


def show(outcomes: Sequence[Outcome], where: Path, console: Console) -> None:
    """Print how each step ended and what it left."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for header in ("step", "exit code", "", "took", f"in {where}"):
        table.add_column(header)
    for outcome in outcomes:
        left = [name for name in outcome.step.leaves if (where / name).is_file()]
        if outcome.code is None:
            table.add_row(outcome.step.name, "", "not run: there is no export", "", "")
        else:
            table.add_row(
                outcome.step.name,
                str(outcome.code),
                _MEANING[outcome.code],
                f"{outcome.seconds:.1f} s",
                ", ".join(left) or "nothing",
            )
    console.print()
    console.print(table)
    code = worst(outcomes)
    console.print(f"exit code {code}, {_MEANING[code]}", highlight=False)


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
        plan = steps(options)
        options.output_dir.mkdir(parents=True, exist_ok=True)
    except (HarnessError, OSError) as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 2
    outcomes = run(plan, options.output_dir, lambda command: call_self(command, quietly=False))
    show(outcomes, options.output_dir, Console(width=120) if not sys.stdout.isatty() else Console())
    return worst(outcomes)


if __name__ == "__main__":
    sys.exit(main())
