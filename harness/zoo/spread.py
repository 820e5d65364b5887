"""What both sweeps share: programs in processes, shards, and a file with a program a line."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.conformance.workers import Done, Task, workers
from harness.errors import InputError
from harness.files import replace_file
from harness.upstream import quietly_loaded
from harness.zoo.trial import Outcome, Verdict

__all__ = [
    "LOWERINGS", "outcomes_from_data", "outcomes_to_data", "programs_of", "same_versions", "spread",
    "today", "write_programs",
]  # fmt: skip

LOWERINGS = ("stock", "corrected")

_FORMAT = 2
"""Of the JSON. The first, which does not tell its number, has no cures of architectures, and tells
in two ways that the wheel's runtime lacks a kernel."""

_PROGRESS_EVERY = 5.0

_NO_KERNEL = "the wheel's runtime has no kernel "


class _Versioned(Protocol):
    @property
    def versions(self) -> dict[str, str]: ...


def spread(
    tasks: Sequence[Task], jobs: int, timeout: float, progress: Callable[[str], None]
) -> list[Done]:
    """Do a task for each program in processes, and return what came of each, in their order."""
    found: dict[int, Done] = {}
    said = time.monotonic()
    with quietly_loaded(), workers(min(jobs, max(len(tasks), 1))) as do:
        for done in do(tasks, timeout):
            found[done.number] = done
            if time.monotonic() - said > _PROGRESS_EVERY:
                said = time.monotonic()
                progress(f"{len(found)} of {len(tasks)} programs")
    return [found[number] for number in range(len(tasks))]


def today() -> str:
    """The date of a sweep."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def same_versions(sweeps: Sequence[_Versioned]) -> dict[str, str]:
    """The versions of shards to put together; `InputError` unless all have the same."""
    first = sweeps[0].versions
    for other in sweeps[1:]:
        if other.versions != first:
            raise InputError(
                "shards must be made with the same versions (got "
                f"{first} and {other.versions}); run them again"
            )
    return first


def write_programs(path: Path, head: Mapping[str, Any], programs: Sequence[Any]) -> None:
    """Write a sweep as JSON, a program a line."""
    head = {"format": _FORMAT, **head}
    lines = [json.dumps(program, ensure_ascii=False) for program in programs]
    text = json.dumps(head, ensure_ascii=False)[:-1] + ', "programs": [\n' + ",\n".join(lines)
    with replace_file(path) as scratch:
        scratch.write_text(text + "\n]}\n", encoding="utf-8")


def programs_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The programs of a sweep's JSON, in today's words; `ValueError` for a later format."""
    found = data.get("format", 1)
    if found not in (1, _FORMAT):
        raise ValueError(f"its format is {found}, and at most {_FORMAT} is known")
    programs = [dict(program) for program in data["programs"]]
    for program in programs if found == 1 else ():
        for lowering in LOWERINGS:
            detail = "".join(program[lowering][1:])
            if detail.startswith(_NO_KERNEL):
                lacking = detail.removeprefix(_NO_KERNEL)
                program[lowering] = [str(Verdict.LACKS_KERNEL), lacking]
    return programs


def outcomes_to_data(stock: Outcome, corrected: Outcome) -> dict[str, list[str]]:
    """Lowering → verdict, and what it says if it says anything."""
    return {
        name: [str(outcome.verdict), *filter(None, [outcome.detail])]
        for name, outcome in zip(LOWERINGS, (stock, corrected), strict=True)
    }


def outcomes_from_data(data: Mapping[str, Any]) -> tuple[Outcome, Outcome]:
    """What `outcomes_to_data` told: stock, and corrected."""
    stock, corrected = (
        Outcome(Verdict(verdict), *detail)
        for verdict, *detail in (data[lowering] for lowering in LOWERINGS)
    )
    return stock, corrected
