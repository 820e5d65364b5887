"""The suite run: list, choose, look in the cache, try, keep, report."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.conformance.cases import FAILED, Case, Mode, Outcome, select
from harness.conformance.programs import keep, kept
from harness.conformance.report import Report
from harness.conformance.trial import listed, tried
from harness.conformance.workers import Do, Task, check_jobs, workers
from harness.errors import HarnessError
from harness.values import timestamp

__all__ = ["Request", "available", "run"]

_LISTING_TIMEOUT = 600.0
_PROGRESS_EVERY = 2.0


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes
    ----------
    words
        Names that choose cases (`select`); none: all.
    jobs, timeout
        Worker processes, and seconds that one case may take.
    fresh
        Lower again what the cache has.
    """

    words: tuple[str, ...] = ()
    jobs: int = 2
    timeout: float = 300.0
    mode: Mode = field(default_factory=Mode)
    fresh: bool = False


def available() -> list[Case]:
    """Every case of the installed executorch; `UnavailableError` if it has no MLX test suite."""
    with workers(1) as do:
        return _listed(do, Mode())


def run(request: Request, progress: Callable[[str], None] = lambda text: None) -> Report:
    """Run the chosen cases.

    Raises
    ------
    InputError
        A word chooses nothing, or there are too many jobs.
    UnavailableError
        executorch or its tests are not installed.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    check_jobs(request.jobs)
    progress("opening upstream's test suites")
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as scratch,
        workers(request.jobs) as do,
    ):
        everything = _listed(do, request.mode)
        chosen = select(everything, request.words)
        groups: dict[tuple[str, str], list[Case]] = {}
        for case in everything:
            groups.setdefault((case.suite, case.group), []).append(case)
        folders = {case: Path(scratch) / str(number) for number, case in enumerate(chosen)}
        tasks: list[Task] = []
        for case, folder in folders.items():
            folder.mkdir()
            entry = None if request.fresh else kept(groups[case.suite, case.group], request.mode)
            place = None if entry is None else str(entry / str(case.index))
            tasks.append((tried, (case, str(folder), place, request.mode)))
        outcomes: dict[Case, Outcome] = {}
        told = 0.0
        progress(f"{len(chosen)} cases in {request.jobs} processes")
        for done in do(tasks, request.timeout):
            case = chosen[done.number]
            outcome = Outcome(case, FAILED, done.fault) if done.fault else done.result
            outcomes[case] = outcome
            group = groups[case.suite, case.group]
            if not outcome.cached and all(member in outcomes for member in group):
                keep(group, request.mode, folders)
            if time.perf_counter() - told > _PROGRESS_EVERY or outcome.status == FAILED:
                told = time.perf_counter()
                count = f"{len(outcomes)} of {len(chosen)}"
                progress(f"{count}: {case.name} {outcome.status}")
    return Report(
        outcomes=tuple(outcomes[case] for case in chosen),
        whole=len(chosen) == len(everything),
        mode=request.mode,
        jobs=request.jobs,
        started=timestamp(started),
        seconds=time.perf_counter() - clock,
    )


def _listed(do: Do, mode: Mode) -> list[Case]:
    (done,) = do([(listed, (mode,))], _LISTING_TIMEOUT)
    if done.fault:
        raise HarnessError(f"upstream's test suite could not be opened: {done.fault}")
    cases: list[Case] = done.result
    return cases
