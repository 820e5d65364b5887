"""The sweep: every operator that the partitioner claims, and the families, in processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.conformance.workers import check_jobs
from harness.errors import InputError
from harness.files import read_json
from harness.fingerprint import installed_versions
from harness.zoo.families import FAMILIES, families
from harness.zoo.program import Program
from harness.zoo.samples import claimed
from harness.zoo.spread import (
    outcomes_from_data,
    outcomes_to_data,
    programs_of,
    same_versions,
    spread,
    today,
    write_programs,
)
from harness.zoo.trial import Outcome, Result, Verdict, tried
from harness.zoo.variations import programs

__all__ = ["Request", "Sweep", "chosen", "merged", "names", "read_sweep", "run", "write_sweep"]

_PACKAGES = ("torch", "executorch", "mlx", "numpy")


@dataclass(frozen=True)
class Request:
    """What to sweep.

    Attributes
    ----------
    ops
        Operators or families by name, ``sort``, ``aten.sort.default`` or ``casts``; none: all.
    jobs, timeout
        Worker processes, and seconds that one program may take.
    shard
        (k, n): of every n programs the k-th, from 1.
    most
        Programs of one operator.
    """

    ops: tuple[str, ...] = ()
    jobs: int = 2
    timeout: float = 300.0
    shard: tuple[int, int] = (1, 1)
    most: int = 16


@dataclass(frozen=True)
class Sweep:
    """What came out.

    Attributes
    ----------
    results
        Of every program, by operator.
    unswept
        What the partitioner claims and no program was made of.
    versions, date
        Of the packages, and of the run.
    """

    results: tuple[Result, ...]
    unswept: tuple[str, ...]
    versions: dict[str, str]
    date: str

    def counts(self) -> dict[str, Counter[str]]:
        """Lowering → verdict → programs."""
        return {
            "stock": Counter(str(result.stock.verdict) for result in self.results),
            "corrected": Counter(str(result.corrected.verdict) for result in self.results),
        }


def run(request: Request, progress: Callable[[str], None] = lambda text: None) -> Sweep:
    """Sweep the chosen operators; raises `InputError` for one that nobody claims."""
    check_jobs(request.jobs)
    progress("making programs of what the partitioner claims")
    every, unswept = chosen(request.ops, request.most)
    part, parts = request.shard
    mine = every[part - 1 :: parts]
    tasks = [(tried, (program,)) for program in mine]
    results = tuple(
        done.result or _failed(program, done.fault)
        for program, done in zip(
            mine, spread(tasks, request.jobs, request.timeout, progress), strict=True
        )
    )
    return Sweep(results, tuple(unswept), dict(installed_versions(*_PACKAGES)), today())


def _failed(program: Program, fault: str) -> Result:
    """A program whose process crashed or took too long: the harness's fault, or the machine's."""
    unknown = Outcome(Verdict.NOT_JUDGED, fault)
    return Result(program, unknown, unknown)


def chosen(ops: Sequence[str], most: int) -> tuple[list[Program], list[str]]:
    """Programs of the operators of these names, and claimed ones that have none."""
    known = claimed()
    wanted = _names(ops, [*known, *FAMILIES])
    made: list[Program] = []
    unswept = []
    for name in known:
        if name not in wanted:
            continue
        own = programs(name, most) if known[name] else []
        made += own
        if not own:
            unswept.append(name)
    made += [program for program in families() if program.target in wanted]
    return list({program.key: program for program in made}.values()), unswept


def names() -> tuple[str, ...]:
    """Every operator that the partitioner claims, and the families."""
    return *claimed(), *FAMILIES


def _names(ops: Sequence[str], known: Iterable[str]) -> set[str]:
    known = list(known)
    if not ops:
        return set(known)
    found = set()
    for op in ops:
        own = {name for name in known if name == op or name.split(".")[1:2] == [op]}
        if not own:
            raise InputError(
                f"the MLX partitioner claims no operator {op}; `voxtral-parity zoo --list` lists "
                "operators and families"
            )
        found |= own
    return found


def write_sweep(sweep: Sweep, path: Path) -> None:
    """Write a sweep as JSON, a program a line."""
    head = {"versions": sweep.versions, "date": sweep.date, "unswept": list(sweep.unswept)}
    write_programs(path, head, [_as_data(result) for result in sweep.results])


def _as_data(result: Result) -> dict[str, Any]:
    program = result.program
    data: dict[str, Any] = {"op": program.target, "pattern": program.pattern, "call": program.call}
    data["inputs"] = list(program.inputs)
    if program.weights:
        data["weights"] = list(program.weights)
    data |= outcomes_to_data(result.stock, result.corrected)
    if result.cure:
        data["cure"] = result.cure
    return data


def read_sweep(path: Path) -> Sweep:
    """Read what `write_sweep` wrote; `InputError` where it is something else."""
    data = read_json(path, "the sweep")
    try:
        results = tuple(_from_data(one) for one in programs_of(data))
        return Sweep(results, tuple(data["unswept"]), dict(data["versions"]), str(data["date"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} must be the JSON of a sweep (got {type(error).__name__}: {error}); "
            "write one with `voxtral-parity zoo --json FILE`"
        ) from error


def _from_data(data: dict[str, Any]) -> Result:
    program = Program(
        data["op"], data["pattern"], data["call"], tuple(data["inputs"]),
        tuple(data.get("weights", ())),
    )  # fmt: skip
    return Result(program, *outcomes_from_data(data), data.get("cure", ""))


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """Shards put together; `InputError` unless they were made with the same versions."""
    versions = same_versions(sweeps)
    results = {result.program.key: result for sweep in sweeps for result in sweep.results}
    ordered = sorted(
        results.values(), key=lambda r: (r.program.target in FAMILIES, r.program.target)
    )
    unswept = sorted({name for sweep in sweeps for name in sweep.unswept})
    return Sweep(tuple(ordered), tuple(unswept), versions, max(s.date for s in sweeps))
