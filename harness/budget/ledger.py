"""Every committed allowance, with what was measured for it: `ledger.json` as values.

One row an allowance, none without a measurement. `nox -s calibrate` measures, and writes the file;
`docs/ledger.md` is the same as a table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.compare import Allowance, Multiples
from harness.values import decode

__all__ = [
    "FILE",
    "HEADROOM",
    "Ledger",
    "Row",
    "Run",
    "committed",
    "loose",
    "parse_ledger",
    "read_ledger",
]

FILE = Path(__file__).with_name("ledger.json")

SCHEMA = 1
"""Version of the file's form."""

HEADROOM = {"own": 2.0, "cap": 4.0, "decision": 2.0, "exact": 8.0, "local": 2.0, "factor": 1.5}
"""The most that an allowance of each table may be over the worst measured, without a reason."""


@dataclass(frozen=True)
class Run:
    """A measurement: on what day and machine, with what, on how many seeds and cases.

    `seeds` are of random inputs, `weights` of checkpoints.
    """

    date: str
    machine: str
    executor: str
    checkpoints: str
    seeds: int
    cases: int
    weights: int = 1


@dataclass(frozen=True)
class Row:
    """One allowance.

    Attributes
    ----------
    table
        ``"own"`` (times eager's own error), ``"factor"`` (times that, for who rounds oftener),
        ``"cap"`` (of a method's outputs against eager), ``"decision"``, ``"exact"``, ``"local"``.
    check
        What is measured.
    allowed, measured
        The most that passes, and the worst that right exports had.
    worst
        Where that was.
    run
        Name of the `Run` that measured it.
    lowering, regime, precision, method
        To what it applies; empty: to all.
    reason
        Why it is what it is; must be given where there is more headroom than `HEADROOM`.
    """

    table: str
    check: str
    allowed: float
    measured: float
    worst: str = ""
    run: str = ""
    lowering: str = ""
    regime: str = ""
    precision: str = ""
    method: str = ""
    reason: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from other rows."""
        return (
            self.table, self.lowering, self.regime, self.precision, self.method, self.check,
        )  # fmt: skip

    @property
    def headroom(self) -> float:
        """`allowed` over `measured`; 1 where both are 0, so that nothing may differ."""
        if self.measured:
            return self.allowed / self.measured
        return float("inf") if self.allowed else 1.0

    @property
    def source(self) -> str:
        """A phrase for reports."""
        told = f"{self.measured:.2g} measured at most ({self.worst})" if self.worst else ""
        return "; ".join(filter(None, (told, self.reason)))

    def applies(self, lowering: str, precision: str, method: str, regime: str) -> bool:
        """Whether it is about this; a field that is empty is about all."""
        mine = (self.lowering, self.precision, self.method, self.regime)
        theirs = (lowering, precision, method, regime)
        return all(a in ("", b) for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class Ledger:
    """All rows, and the runs that measured them."""

    runs: dict[str, Run]
    rows: tuple[Row, ...]

    def table(self, name: str) -> tuple[Row, ...]:
        """The rows of one table."""
        return tuple(row for row in self.rows if row.table == name)

    def row(self, table: str, check: str) -> Row:
        """The row of a check that is one for all."""
        (found,) = (row for row in self.table(table) if row.check == check)
        return found

    def knows(self, table: str, regime: str, precision: str, method: str = "") -> bool:
        """Whether something was measured in a regime by itself."""
        about = (regime, precision, method)
        return any((r.regime, r.precision, r.method) == about for r in self.table(table))

    def multiples(
        self, lowering: str, precision: str, method: str, regime: str
    ) -> Multiples | None:
        """How many times eager's own error a method may lose; None where nothing is known."""
        rows = {row.check: row for row in self.table("own")}
        if not rows:
            return None
        told = "; ".join(
            f"{name} {row.measured:.2g} of {row.allowed:g}" for name, row in rows.items()
        )
        multiples = Multiples(
            **{name: row.allowed for name, row in rows.items()},
            source=f"the worst measured of what is allowed: {told}",
        )
        for row in self.table("factor"):
            if row.applies(lowering, precision, method, regime):
                multiples = multiples.times(row.allowed, row.reason)
        return multiples

    def decisions(self, precision: str, regime: str) -> dict[str, Row]:
        """Check → how far decisions may move; a row of the regime comes before one of all."""
        table = sorted(self.table("decision"), key=lambda row: bool(row.regime))
        return {row.check: row for row in table if row.applies("", precision, "", regime)}

    def cap(self, lowering: str, precision: str, method: str, regime: str) -> Allowance | None:
        """How far from eager a method may be at most; None where nobody measured it."""
        found: dict[str, Row] = {}
        for row in sorted(self.table("cap"), key=lambda row: bool(row.regime)):
            if row.applies(lowering, precision, method, regime):
                found[row.check] = row
        if not found:
            return None
        sources = dict.fromkeys(f"{check}: {row.source}" for check, row in found.items())
        return Allowance(
            found["max abs"].allowed,
            found["RMS error"].allowed,
            found["gain error"].allowed,
            source="; ".join(sources),
        )


def parse_ledger(text: str) -> Ledger:
    """The ledger in the text of a file; `ValueError`, `TypeError` or `KeyError` if it is none."""
    told = json.loads(text)
    if told["schema"] != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, got {told['schema']!r:.40}")
    ledger: Ledger = decode({"runs": told["runs"], "rows": told["rows"]}, Ledger)
    return ledger


def read_ledger(path: Path = FILE) -> Ledger:
    """The ledger in a file."""
    return parse_ledger(path.read_text(encoding="utf-8"))


@cache
def committed() -> Ledger:
    """The ledger that this repository keeps."""
    return read_ledger()


def loose(rows: Sequence[Row]) -> list[Row]:
    """Rows with more headroom than their table may have, and no reason; or too little to pass."""
    return [
        row
        for row in rows
        if (not row.reason and row.headroom > HEADROOM[row.table])
        or (row.allowed < row.measured and row.table != "local")  # whose rows hold together
    ]
