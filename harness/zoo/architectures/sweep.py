"""All architectures, precisions, phases and both lowerings, in processes; and their JSON."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.conformance.workers import workers
from harness.errors import InputError, one_of
from harness.files import read_json, replace_file
from harness.fingerprint import installed_versions
from harness.zoo.architectures.building import require_transformers
from harness.zoo.architectures.catalog import CATALOG, KINDS, Architecture, named
from harness.zoo.architectures.judging import DTYPES, LOWERINGS, Case, judged_case
from harness.zoo.trial import Outcome, Verdict

__all__ = [
    "Program",
    "Request",
    "Result",
    "Sweep",
    "merged",
    "names",
    "read_sweep",
    "run",
    "write_sweep",
]

_PACKAGES = ("transformers", "torch", "executorch", "mlx", "numpy")
_PROGRESS_EVERY = 5.0


@dataclass(frozen=True)
class Request:
    """What to judge.

    Attributes
    ----------
    names
        Architectures or kinds; none: all.
    precisions
        Of ``fp32`` and ``bf16``.
    jobs, timeout
        Worker processes, and seconds that one program may take.
    shard
        (k, n): of every n programs the k-th, from 1.
    """

    names: tuple[str, ...] = ()
    precisions: tuple[str, ...] = tuple(DTYPES)
    jobs: int = 1
    timeout: float = 300.0
    shard: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Program:
    """One exported program of an architecture."""

    target: str
    kind: str
    precision: str
    phase: str

    @property
    def pattern(self) -> str:
        """Which of an architecture's programs it is."""
        return f"{self.precision}, {self.phase}"

    @property
    def key(self) -> str:
        """Names it among all."""
        return f"{self.target} {self.precision} {self.phase}"


@dataclass(frozen=True)
class Result:
    """What came of a program in both lowerings."""

    program: Program
    stock: Outcome
    corrected: Outcome


@dataclass(frozen=True)
class Sweep:
    """What came out, with the versions of the packages and the date."""

    results: tuple[Result, ...]
    versions: dict[str, str]
    date: str

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """(Precision, lowering) → verdict → programs."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for result in self.results:
            for lowering in LOWERINGS:
                counter = found.setdefault((result.program.precision, lowering), Counter())
                counter[str(getattr(result, lowering).verdict)] += 1
        return found


def run(
    request: Request,
    progress: Callable[[str], None] = lambda text: None,
    judge: Callable[[Case], tuple[Outcome, Outcome]] = judged_case,
) -> Sweep:
    """Judge the chosen architectures.

    `judge` is what a process does with one; an importable function.

    Raises
    ------
    UnavailableError
        transformers is not here.
    InputError
        An unknown architecture or precision, or too many processes.
    """
    for precision in request.precisions:
        one_of("precision", precision, DTYPES)
    limit = 2 * (os.cpu_count() or 1)
    if not 1 <= request.jobs <= limit:
        raise InputError(
            f"--jobs must be at most {limit}, twice this machine's processors (got {request.jobs})"
        )
    chosen = named(request.names)
    if judge is judged_case:
        require_transformers()
    part, parts = request.shard
    mine = _programs(chosen, request.precisions)[part - 1 :: parts]
    found: dict[int, Result] = {}
    said = time.monotonic()
    with workers(min(request.jobs, max(len(mine), 1))) as do:
        tasks = [(judge, (Case(a, program.precision, program.phase),)) for a, program in mine]
        for done in do(tasks, request.timeout):
            outcomes = done.result or (_failed(done.fault),) * 2
            found[done.number] = Result(mine[done.number][1], *outcomes)
            if time.monotonic() - said > _PROGRESS_EVERY:
                said = time.monotonic()
                progress(f"{len(found)} of {len(mine)} programs")
    results = tuple(found[number] for number in range(len(mine)))
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Sweep(results, dict(installed_versions(*_PACKAGES)), date)


def names() -> tuple[str, ...]:
    """Every architecture, and the kinds."""
    return *(architecture.name for architecture in CATALOG), *KINDS


def _programs(
    chosen: Sequence[Architecture], precisions: Sequence[str]
) -> list[tuple[Architecture, Program]]:
    return [
        (architecture, Program(architecture.name, architecture.kind, precision, phase))
        for architecture in chosen
        for precision in precisions
        for phase in architecture.phases
    ]


def _failed(fault: str) -> Outcome:
    """A program that did not come back: its process crashed, was stopped, or raised an error."""
    crashed = fault.startswith(("crashed", "died"))
    return Outcome(Verdict.NOT_JUDGED, f"its process {fault}" if crashed else fault)


def write_sweep(sweep: Sweep, path: Path) -> None:
    """Write a sweep as JSON, a program a line."""
    head = {"versions": sweep.versions, "date": sweep.date}
    lines = [json.dumps(_as_data(result), ensure_ascii=False) for result in sweep.results]
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "programs": [\n' + ",\n".join(lines)
    with replace_file(path) as scratch:
        scratch.write_text(text + "\n]}\n", encoding="utf-8")


def _as_data(result: Result) -> dict[str, Any]:
    program = result.program
    data: dict[str, Any] = {"architecture": program.target, "kind": program.kind}
    data |= {"precision": program.precision, "phase": program.phase}
    for lowering in LOWERINGS:
        outcome = getattr(result, lowering)
        data[lowering] = [str(outcome.verdict), *filter(None, [outcome.detail])]
    return data


def read_sweep(path: Path) -> Sweep:
    """Read what `write_sweep` wrote; `InputError` where it is something else."""
    data = read_json(path, "the sweep")
    try:
        results = tuple(_from_data(one) for one in data["programs"])
        return Sweep(results, dict(data["versions"]), str(data["date"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} must be the JSON of a sweep of architectures (got "
            f"{type(error).__name__}: {error}); write one with `voxtral-parity zoo "
            "--architectures all --json FILE`"
        ) from error


def _from_data(data: dict[str, Any]) -> Result:
    program = Program(data["architecture"], data["kind"], data["precision"], data["phase"])
    stock, corrected = (
        Outcome(Verdict(verdict), *detail)
        for verdict, *detail in (data[lowering] for lowering in LOWERINGS)
    )
    return Result(program, stock, corrected)


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """Shards put together; `InputError` unless they were made with the same versions."""
    first = sweeps[0]
    for other in sweeps[1:]:
        if other.versions != first.versions:
            raise InputError(
                "shards must be made with the same versions (got "
                f"{first.versions} and {other.versions}); run them again"
            )
    found = {result.program: result for sweep in sweeps for result in sweep.results}
    order = {program: n for n, (_, program) in enumerate(_programs(named(()), tuple(DTYPES)))}
    results = sorted(found.values(), key=lambda result: order.get(result.program, len(order)))
    return Sweep(tuple(results), first.versions, max(sweep.date for sweep in sweeps))
