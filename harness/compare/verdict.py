"""What a judgement is: a value that carries everything needed to believe or to question it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["NEAR", "Gate", "Metric", "Status", "Verdict", "exit_code"]

NEAR = 0.8
"""Share of an allowance above which a gate that passes is worth a warning."""

Metric = bool | int | float | str | tuple["Metric", ...]
"""A measured fact, in a form that JSON can carry."""


class Status(StrEnum):
    """Outcome of one judgement."""

    PASS = "pass"
    FAIL = "fail"
    UNJUDGED = "unjudged"


@dataclass(frozen=True)
class Gate:
    """One measured value and the most it may be.

    Attributes
    ----------
    name
        What was measured, e.g. ``"max abs"``.
    value, allowed
        The measured value, never negative, and the most that passes; 0 means exact.
    unit
        What `value` and `allowed` are counted in, e.g. ``"of scale"``, ``"LSB"``.
    where
        Which part decided, where several could: ``"call 13"``, ``"at 0.3 s"``.
    """

    name: str
    value: float
    allowed: float
    unit: str = ""
    where: str = ""

    def __post_init__(self) -> None:
        if not self.allowed >= 0:
            raise ValueError(f"gate {self.name!r} allows {self.allowed}; expected 0 or more")

    @property
    def passed(self) -> bool:
        """Whether `value` is within `allowed`; NaN compares false, so it never passes."""
        return bool(self.value <= self.allowed)

    @property
    def headroom_used(self) -> float:
        """`value` over `allowed`: 0 is exact, 1 is the limit, infinity a missed exact gate."""
        if self.value == 0:
            return 0.0
        return float(self.value) / float(self.allowed) if self.allowed else float("inf")


@dataclass(frozen=True)
class Verdict:
    """One judgement: what was compared with what, how, and how it came out.

    Attributes
    ----------
    subject
        Name of the method judged, e.g. ``"text_decoder"``.
    case
        Which inputs or which aspect, e.g. ``"speech"``, ``"random S=7"``, ``"delegation"``.
    kind
        Sort of judgement: ``"tensor"``, ``"waveform"``, ``"execution"``, ``"golden"``, …
    status, summary
        How it came out, and one sentence on it.
    metrics, gates
        Everything measured, by name; the values that decided, in the order they are checked.
    elements
        How many things were compared: finite elements of a tensor, nodes of a delegate, …
    notes
        What to know or to do; whole sentences.
    next
        The command to type next; empty where the verdict passed, or nobody knows one.

    Raises
    ------
    ValueError
        A pass that compared nothing, or whose gates did not all pass: such a verdict would
        be green without cause.
    """

    subject: str
    case: str
    kind: str
    status: Status
    summary: str
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    elements: int = 0
    notes: tuple[str, ...] = ()
    next: str = ""

    def __post_init__(self) -> None:
        if self.status is not Status.PASS:
            return
        if self.elements < 1:
            raise ValueError(f"{self.subject}, {self.case}: a pass must have compared something")
        if self.failed_gates:
            names = ", ".join(gate.name for gate in self.failed_gates)
            raise ValueError(f"{self.subject}, {self.case}: a pass has failed gates: {names}")

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        """The gates that did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def near_gates(self) -> tuple[Gate, ...]:
        """The gates that passed and used more than `NEAR` of what is allowed; no 16-bit codes."""
        return tuple(
            gate
            for gate in self.gates
            if gate.passed and gate.unit != "LSB" and gate.headroom_used > NEAR
        )

    @property
    def headroom_used(self) -> float:
        """The most that any gate used of its allowance; NaN if a gate measured NaN."""
        return _most_used(self.gates)

    @property
    def headroom_telling(self) -> float:
        """`headroom_used` without what right values reach, where that passes.

        A step of one 16-bit code is all of "up to 1 LSB", and a node that rounds once reaches its
        bound: no news, but where it fails.
        """
        reached = ("LSB", "of its bound")
        return _most_used(
            gate for gate in self.gates if gate.unit not in reached or not gate.passed
        )


def _most_used(gates: Iterable[Gate]) -> float:
    return max((gate.headroom_used for gate in gates), key=lambda x: (x != x, x), default=0.0)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0 if every verdict passed, 1 if any failed, else 2: something, or all, was not judged."""
    statuses = {verdict.status for verdict in verdicts}
    if Status.FAIL in statuses:
        return 1
    return 0 if statuses == {Status.PASS} else 2
