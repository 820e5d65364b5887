"""Distinct bugs of the stock lowering among a sweep's results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.zoo.sweep import Sweep
from harness.zoo.trial import Result

__all__ = ["Bug", "bugs", "bugs_of"]


@dataclass(frozen=True)
class Bug:
    """Programs that fail in the same way.

    Attributes
    ----------
    name
        For file names and titles: ``sort-descending``.
    results
        The programs; the one that tells most with least comes first.
    """

    name: str
    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """What a report shows."""
        return self.results[0]


def bugs(sweep: Sweep) -> list[Bug]:
    """The programs that stock gets wrong, grouped by operator and by what cures or stops them."""
    groups: dict[str, list[Result]] = {}
    for result in sweep.results:
        if result.stock.wrong:
            groups.setdefault(_group(result), []).append(result)
    found: list[Bug] = []
    taken: dict[str, int] = {}
    for key, results in groups.items():
        name = re.sub(r"[^a-z0-9]+", "-", key.partition("|")[0].lower()).strip("-")
        taken[name] = taken.get(name, 0) + 1
        name += f"-{taken[name]}" if taken[name] > 1 else ""
        found.append(Bug(name, tuple(sorted(results, key=_length))))
    return found


def bugs_of(sweep: Sweep, ops: Sequence[str]) -> list[Bug]:
    """The bugs of operators or families of these names; without a name, all."""
    return [
        bug
        for bug in bugs(sweep)
        if not ops or {bug.first.program.target, *bug.first.program.target.split(".")} & set(ops)
    ]


def _group(result: Result) -> str:
    """By operator and correction; by operator and message where no correction cures it."""
    op = re.sub(r"^aten\.|\.default$", "", result.program.target)
    if re.search(r"is empty \(shape|an empty tensor \(shape", result.stock.detail):
        return "empty input"
    if result.cure:
        return f"{op} {result.cure}"
    message = re.sub(r"[-\d.e+]+|\([^)]*\)|\[[^\]]*\]|%\w+", "", result.stock.detail)
    if result.stock.verdict == "wrong":
        message = "shape" if "shape" in result.stock.detail else _kind(result.program.pattern)
    return f"{op} {result.stock.verdict}|{message}"


def _kind(pattern: str) -> str:
    """The argument or the type that a pattern names, without its value."""
    return re.sub(r"=[^,]*", "", pattern)


def _length(result: Result) -> tuple[int, int]:
    size = len(result.program.key)
    return (0 if re.search(r"\d, \d", result.program.inputs[0]) else 1), size
