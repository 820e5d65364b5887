"""The sweep: every operator that the partitioner claims, and the families, in processes."""

from __future__ import annotations

import datetime
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.conformance.workers import workers
from harness.errors import InputError
from harness.files import read_json, replace_file
from harness.fingerprint import installed_versions
from harness.zoo.families import FAMILIES, families
from harness.zoo.program import Program
from harness.zoo.samples import claimed
from harness.zoo.trial import Outcome, Result, Verdict, tried
from harness.zoo.variations import programs

__all__ = ["Request", "Sweep", "chosen", "merged", "names", "read_sweep", "run", "write_sweep"]

_PACKAGES = ("torch", "executorch", "mlx", "numpy")
_PROGRESS_EVERY = 5.0


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
    timeout: float = 120.0
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
    limit = 2 * (os.cpu_count() or 1)
    if not 1 <= request.jobs <= limit:
        raise InputError(
            f"--jobs must be at most {limit}, twice this machine's processors (got {request.jobs})"
        )
    progress("making programs of what the partitioner claims")
    every, unswept = chosen(request.ops, request.most)
    part, parts = request.shard
    mine = every[part - 1 :: parts]
    found: list[Result | None] = [None] * len(mine)
    said = time.monotonic()
    with workers(min(request.jobs, max(len(mine), 1))) as do:
        tasks = [(tried, (program,)) for program in mine]
        for number, done in enumerate(do(tasks, request.timeout), 1):
            found[done.number] = done.result or _failed(mine[done.number], done.fault)
            if time.monotonic() - said > _PROGRESS_EVERY:
                said = time.monotonic()
                progress(f"{number} of {len(mine)} programs")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    results = tuple(result for result in found if result is not None)
    return Sweep(results, tuple(unswept), dict(installed_versions(*_PACKAGES)), date)


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
    import json

    head = {"versions": sweep.versions, "date": sweep.date, "unswept": list(sweep.unswept)}
    lines = [json.dumps(_as_data(result), ensure_ascii=False) for result in sweep.results]
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "programs": [\n' + ",\n".join(lines)
    with replace_file(path) as scratch:
        scratch.write_text(text + "\n]}\n", encoding="utf-8")


def _as_data(result: Result) -> dict[str, Any]:
    program = result.program
    data: dict[str, Any] = {"op": program.target, "pattern": program.pattern, "call": program.call}
    data["inputs"] = list(program.inputs)
    if program.weights:
        data["weights"] = list(program.weights)
    for name, outcome in (("stock", result.stock), ("corrected", result.corrected)):
        data[name] = [str(outcome.verdict), *filter(None, [outcome.detail])]
    if result.cure:
        data["cure"] = result.cure
    return data


def read_sweep(path: Path) -> Sweep:
    """Read what `write_sweep` wrote; `InputError` where it is something else."""
    data = read_json(path, "the sweep")
    try:
        results = tuple(_from_data(one) for one in data["programs"])
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
    stock, corrected = (
        Outcome(Verdict(verdict), *detail)
        for verdict, *detail in (data["stock"], data["corrected"])
    )
    return Result(program, stock, corrected, data.get("cure", ""))


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """Shards put together; `InputError` unless they were made with the same versions."""
    first = sweeps[0]
    for other in sweeps[1:]:
        if other.versions != first.versions:
            raise InputError(
                "shards must be made with the same versions (got "
                f"{first.versions} and {other.versions}); run them again"
            )
    results = {result.program.key: result for sweep in sweeps for result in sweep.results}
    ordered = sorted(
        results.values(), key=lambda r: (r.program.target in FAMILIES, r.program.target)
    )
    unswept = sorted({name for sweep in sweeps for name in sweep.unswept})
    return Sweep(tuple(ordered), tuple(unswept), first.versions, max(s.date for s in sweeps))
