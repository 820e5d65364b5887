"""Two reports side by side: what moved, what became worse, and what changed around it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.compare.verdict import Gate, Status, Verdict
from harness.report.model import Report

__all__ = ["LEAST", "Difference", "Move", "Pair", "Setting", "compare"]

LEAST = 0.01
"""Share of an allowance by which a gate must move to be told."""

_FILES = re.compile(r" --(json|junit|markdown|report)[ =]\S+")
"""Options of a command that say where its report goes."""

_RANK = {Status.PASS: 0, Status.UNJUDGED: 1, Status.FAIL: 2}


@dataclass(frozen=True)
class Setting:
    """Something around the verdicts that is another in each run; empty where it is not there."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Move:
    """One gate in both runs, in shares of what the earlier one allows."""

    before: Gate
    after: Gate

    @property
    def share(self) -> float:
        """What the later run would use of the earlier one's allowance."""
        return dataclasses.replace(self.after, allowed=self.before.allowed).headroom_used

    @property
    def by(self) -> float:
        """How much more it uses; a share that is infinite twice did not move."""
        old, new = self.before.headroom_used, self.share
        return 0.0 if old == new else new - old

    @property
    def rank(self) -> tuple[bool, float]:
        """By which moves are sorted: NaN first, then what grew most, what shrank most last."""
        return self.by == self.by, -self.by


@dataclass(frozen=True)
class Pair:
    """One verdict in both runs; None where a run does not have it."""

    before: Verdict | None
    after: Verdict | None

    @property
    def verdict(self) -> Verdict:
        """The later of the two."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def worse(self) -> bool:
        """Passed and does not, is gone, or passes on less; was unjudged or is new, and failed."""
        if self.before is None:
            return self.verdict.status is Status.FAIL
        if self.after is None:
            return self.before.status is Status.PASS
        return _RANK[self.after.status] > _RANK[self.before.status] or self.narrower

    @property
    def narrower(self) -> bool:
        """Passed in both runs, and the later compared fewer things or lacks a gate."""
        if self.before is None or self.after is None:
            return False
        if {self.before.status, self.after.status} != {Status.PASS}:
            return False
        return self.after.elements < self.before.elements or bool(self._lost)

    @property
    def compared(self) -> tuple[str, ...]:
        """In words, what both runs have and do not compare alike: elements, and gates."""
        if self.before is None or self.after is None:
            return ()
        told = []
        if self.before.elements != self.after.elements:
            told.append(f"elements compared: {self.before.elements:,} → {self.after.elements:,}")
        told += [f"gate gone: {name}" for name in self._lost]
        gained = _names(self.after) - _names(self.before)
        return (*told, *(f"gate new: {name}" for name in gained.elements()))

    @property
    def _lost(self) -> tuple[str, ...]:
        """Names of gates that the earlier run alone has."""
        if self.before is None or self.after is None:
            return ()
        return tuple((_names(self.before) - _names(self.after)).elements())

    @property
    def better(self) -> bool:
        """Is in both runs, and nearer to a pass."""
        if self.before is None or self.after is None:
            return False
        return _RANK[self.after.status] < _RANK[self.before.status]

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """Gates of both that moved, the one that grew most first."""
        if self.before is None or self.after is None:
            return ()
        old = {gate.name: gate for gate in self.before.gates}
        moves = (Move(old[gate.name], gate) for gate in self.after.gates if gate.name in old)
        found = [move for move in moves if not abs(move.by) < LEAST]
        return tuple(sorted(found, key=lambda move: move.rank))


@dataclass(frozen=True)
class Difference:
    """Two runs.

    Attributes
    ----------
    before, after
        The reports.
    pairs
        Every verdict of both, those of the later run first, in their order.
    settings
        What else changed: versions, regime, artifacts, checkpoint, …
    """

    before: Report
    after: Report
    pairs: tuple[Pair, ...]
    settings: tuple[Setting, ...]

    @property
    def worse(self) -> tuple[Pair, ...]:
        """Verdicts that became worse."""
        return tuple(pair for pair in self.pairs if pair.worse)

    @property
    def better(self) -> tuple[Pair, ...]:
        """Verdicts that became better."""
        return tuple(pair for pair in self.pairs if pair.better)

    @property
    def new(self) -> tuple[Pair, ...]:
        """Verdicts that the earlier run does not have."""
        return tuple(pair for pair in self.pairs if pair.before is None)

    @property
    def gone(self) -> tuple[Pair, ...]:
        """Verdicts that the later run does not have."""
        return tuple(pair for pair in self.pairs if pair.after is None)

    @property
    def moved(self) -> tuple[Pair, ...]:
        """Verdicts whose gates moved by `LEAST` or more, the one that grew most first."""
        found = [pair for pair in self.pairs if pair.moves]
        return tuple(sorted(found, key=lambda pair: pair.moves[0].rank))

    @property
    def otherwise(self) -> tuple[Pair, ...]:
        """Verdicts of both runs that do not compare alike: other elements, or other gates."""
        return tuple(pair for pair in self.pairs if pair.compared)

    @property
    def empty(self) -> str:
        """Which run judged nothing, in words; empty where both judged something."""
        runs = {"the earlier run": self.before, "the later run": self.after}
        found = [
            name
            for name, run in runs.items()
            if all(verdict.status is Status.UNJUDGED for verdict in run.verdicts)
        ]
        return " and ".join(found)

    @property
    def exit_code(self) -> int:
        """2 if a run judged nothing, 1 if a verdict became worse, else 0."""
        return 2 if self.empty else int(bool(self.worse))


def compare(before: Report, after: Report) -> Difference:
    """What changed from one run to another."""
    old, new = _named(before.verdicts), _named(after.verdicts)
    pairs = [Pair(old.get(name), verdict) for name, verdict in new.items()]
    pairs += [Pair(verdict, None) for name, verdict in old.items() if name not in new]
    first, second = dict(_settings(before)), dict(_settings(after))
    settings = [
        Setting(name, first.get(name, ""), second.get(name, ""))
        for name in dict.fromkeys((*first, *second))
        if first.get(name, "") != second.get(name, "")
    ]
    return Difference(before, after, tuple(pairs), tuple(settings))


def _names(verdict: Verdict) -> Counter[str]:
    """How often a verdict has a gate of each name."""
    return Counter(gate.name for gate in verdict.gates)


def _named(verdicts: Sequence[Verdict]) -> Mapping[tuple[str, str, int], Verdict]:
    """By subject, case, and number among those of one name; the kind may change."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for verdict in verdicts:
        name = (verdict.subject, verdict.case)
        found[(*name, seen[name])] = verdict
        seen[name] += 1
    return found


def _settings(report: Report) -> Iterator[tuple[str, str]]:
    """Everything that a verdict may depend on, in words."""
    executor, checkpoint = report.executor, report.checkpoint
    yield "command", _FILES.sub("", report.command)
    yield "voxtral-parity", report.tool_version
    yield "checkpoint", checkpoint.name
    yield "weights (sha256)", checkpoint.digest[:16]
    yield "precision", report.precision
    yield "executor", executor.executor
    yield "device", executor.device
    yield "regime", executor.regime
    if executor.measured is not None:
        for product, kind in executor.measured.products.items():
            yield f"products, {product}", kind
    for name, version in executor.versions.items():
        yield f"version of {name}", version
    if executor.notes:
        yield "notes of the executor", "; ".join(executor.notes)
    for artifact in report.artifacts:
        yield f"{artifact.name} (sha256)", f"{artifact.sha256[:16]}, {artifact.bytes:,} bytes"
    if report.bundle is not None:
        yield "bundle (sha256)", report.bundle.sha256[:16]
        yield "observed by voxtral-parity", report.bundle.observed_by
    yield "reference", report.reference.description
    for choice in report.reference.choices:
        yield f"choice, {choice.name}", choice.value
