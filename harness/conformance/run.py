"""The suite run: list, choose, look in the cache, try, keep, report."""

from __future__ import annotations

import datetime
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.conformance.cases import FAILED, Case, Outcome, select
from harness.conformance.programs import keep, kept
from harness.conformance.report import Report
from harness.conformance.trial import Mode, listed, tried
from harness.conformance.workers import Done, Task, Workers
from harness.errors import HarnessError, InputError

__all__ = ["Request", "available", "run"]

_LISTING_TIMEOUT = 600.0
_PROGRESS_EVERY = 2.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes
    ----------
    words
        Names that choose cases (`select`); none: all.
    jobs
        Worker processes.
    timeout
        Seconds that one case may take.
    fresh
        Lower again what the cache has.
    """

    words: tuple[str, ...] = ()
    jobs: int = 2
    timeout: float = 300.0
    mode: Mode = field(default_factory=Mode)
    fresh: bool = False


def available() -> list[Case]:
    """Every case of the installed executorch.

    Raises
    ------
    UnavailableError
        It has no MLX test suite.
    """
    with Workers(1) as workers:
        return _listed(workers, Mode())


def run(request: Request, progress: Progress = lambda text: None) -> Report:
    """Run the chosen cases.

    Raises
    ------
    InputError
        A word chooses nothing, or there are too many jobs.
    UnavailableError
        executorch or its tests are not installed.
    """
    started, clock = _now(), time.perf_counter()
    limit = 2 * (os.cpu_count() or 1)
    if not 1 <= request.jobs <= limit:
        raise InputError(
            f"--jobs must be at most {limit}, twice this machine's processors (got {request.jobs})"
        )
    progress("opening upstream's test suites")
    folders: dict[Case, Path] = {}
    with (
        tempfile.TemporaryDirectory(prefix="conformance-") as scratch,
        Workers(request.jobs) as workers,
    ):
        everything = _listed(workers, request.mode)
        chosen = select(everything, request.words)
        groups = _groups(everything)
        tasks, owners = [], []
        for number, case in enumerate(chosen):
            entry = None if request.fresh else kept(groups[case], request.mode)
            folders[case] = Path(scratch) / str(number)
            folders[case].mkdir()
            place = None if entry is None else str(entry / str(case.index))
            arguments = (case, str(folders[case]), place, request.mode)
            tasks.append(Task(tried, arguments))
            owners.append(case)
        outcomes: dict[Case, Outcome] = {}
        told = 0.0
        progress(f"{len(chosen)} cases in {request.jobs} processes")
        for done in workers.do(tasks, request.timeout):
            case = owners[done.number]
            outcomes[case] = _outcome(case, done)
            group = groups[case]
            if not outcomes[case].cached and all(member in outcomes for member in group):
                keep(group, request.mode, folders)
            if time.perf_counter() - told > _PROGRESS_EVERY or outcomes[case].status == FAILED:
                told = time.perf_counter()
                count = f"{len(outcomes)} of {len(chosen)}"
                progress(f"{count}: {case.name} {outcomes[case].status}")
    return Report(
        outcomes=tuple(outcomes[case] for case in chosen),
        whole=len(chosen) == len(everything),
        faithful=request.mode.faithful,
        corrected=request.mode.corrected,
        jobs=request.jobs,
        started=started,
        seconds=time.perf_counter() - clock,
    )


def _listed(workers: Workers, mode: Mode) -> list[Case]:
    (done,) = workers.do([Task(listed, (mode,))], _LISTING_TIMEOUT)
    if done.fault:
        raise HarnessError(f"upstream's test suite could not be opened: {done.fault}")
    cases: list[Case] = done.result
    return cases


def _groups(cases: Sequence[Case]) -> dict[Case, list[Case]]:
    """Each case's class: all its configurations."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.suite, case.group), []).append(case)
    return {case: groups[case.suite, case.group] for case in cases}


def _outcome(case: Case, done: Done) -> Outcome:
    if done.fault:
        return Outcome(case, FAILED, done.fault)
    outcome: Outcome = done.result
    return outcome


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")
