"""All architectures, precisions, phases and both lowerings, in processes; and their JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.conformance.workers import check_jobs
from harness.errors import InputError, one_of
from harness.files import read_json
from harness.fingerprint import installed_versions
from harness.zoo.architectures.architecture import KINDS, Architecture
from harness.zoo.architectures.building import require_transformers
from harness.zoo.architectures.catalog import CATALOG, named
from harness.zoo.architectures.curing import cure_of
from harness.zoo.architectures.judging import DTYPES, Case, judged_case
from harness.zoo.spread import (
    LOWERINGS,
    outcomes_from_data,
    outcomes_to_data,
    programs_of,
    same_versions,
    spread,
    today,
    write_programs,
)
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
    """What came of a program in both lowerings.

    Attributes
    ----------
    stock, corrected
        In upstream's lowering, and with the corrections.
    cure
        Where more comes of the corrected: the corrections that alone do as much, and of which none
        can be left out; empty where the search for them did not end.
    """

    program: Program
    stock: Outcome
    corrected: Outcome
    cure: tuple[str, ...] = ()

    @property
    def cured(self) -> bool:
        """Whether the corrections make a program better."""
        return self.corrected.better(self.stock)


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
    cure: Callable[[Case, Outcome], tuple[str, ...]] = cure_of,
) -> Sweep:
    """Judge the chosen architectures, then look for what cures those that stock fails.

    Parameters
    ----------
    request
        What to judge.
    progress
        Is told how far it is.
    judge, cure
        What a process does with one, and with one that is better with all corrections;
        importable functions.

    Raises
    ------
    UnavailableError
        transformers is not here.
    InputError
        An unknown architecture or precision, or too many processes.
    """
    for precision in request.precisions:
        one_of("precision", precision, DTYPES)
    check_jobs(request.jobs)
    chosen = named(request.names)
    if judge is judged_case:
        require_transformers()
    part, parts = request.shard
    mine = _programs(chosen, request.precisions)[part - 1 :: parts]
    cases = [Case(a, program.precision, program.phase) for a, program in mine]
    judged = spread([(judge, (case,)) for case in cases], request.jobs, request.timeout, progress)
    results = [
        Result(program, *(done.result or (_failed(done.fault),) * 2))
        for (_, program), done in zip(mine, judged, strict=True)
    ]
    better = [number for number, result in enumerate(results) if result.cured]
    if better:
        progress(f"looking for what cures {len(better)} programs")
    # In tasks of their own: a search that takes too long costs no outcome.
    tasks = [(cure, (cases[number], results[number].corrected)) for number in better]
    found = spread(tasks, request.jobs, request.timeout, progress)
    for number, done in zip(better, found, strict=True):
        results[number] = replace(results[number], cure=done.result or ())
    return Sweep(tuple(results), dict(installed_versions(*_PACKAGES)), today())


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
    write_programs(path, head, [_as_data(result) for result in sweep.results])


def _as_data(result: Result) -> dict[str, Any]:
    program = result.program
    data: dict[str, Any] = {"architecture": program.target, "kind": program.kind}
    data |= {"precision": program.precision, "phase": program.phase}
    data |= outcomes_to_data(result.stock, result.corrected)
    return data | ({"cure": list(result.cure)} if result.cure else {})


def read_sweep(path: Path) -> Sweep:
    """Read what `write_sweep` wrote; `InputError` where it is something else."""
    data = read_json(path, "the sweep")
    try:
        results = tuple(_from_data(one) for one in programs_of(data))
        return Sweep(results, dict(data["versions"]), str(data["date"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} must be the JSON of a sweep of architectures (got "
            f"{type(error).__name__}: {error}); write one with `voxtral-parity zoo "
            "--architectures all --json FILE`"
        ) from error


def _from_data(data: dict[str, Any]) -> Result:
    program = Program(data["architecture"], data["kind"], data["precision"], data["phase"])
    return Result(program, *outcomes_from_data(data), tuple(data.get("cure", ())))


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """Shards put together; `InputError` unless they were made with the same versions."""
    versions = same_versions(sweeps)
    found = {result.program: result for sweep in sweeps for result in sweep.results}
    order = {program: n for n, (_, program) in enumerate(_programs(named(()), tuple(DTYPES)))}
    results = sorted(found.values(), key=lambda result: order.get(result.program, len(order)))
    return Sweep(tuple(results), versions, max(sweep.date for sweep in sweeps))
