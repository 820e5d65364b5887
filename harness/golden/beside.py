"""What waits to be blessed, beside what is kept: read both, show them, accept what waits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness.compare import words
from harness.errors import InputError
from harness.golden import pins, store
from harness.golden.bless import check_reason
from harness.golden.judge import changes, judge
from harness.golden.pins import Pins
from harness.golden.store import Golden, GoldenKey
from harness.golden.waiting import list_waiting, waiting_path

__all__ = ["Row", "Waiting", "accept", "read_waiting"]


@dataclass(frozen=True)
class Row:
    """One number, old beside new.

    Attributes
    ----------
    name, unit
        What it is, and what `moved` and `allowed` are counted in.
    old, new
        NaN where a side does not have it.
    moved, allowed
        How far, and how far it may.
    """

    name: str
    old: float
    new: float
    moved: float
    allowed: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it moved no further than it may."""
        return bool(self.moved <= self.allowed)

    def __str__(self) -> str:
        """``codec, random: old 0.115, new 0.116, moved 0.0087 of RMS, allowed 1.0e-6``."""
        return (
            f"{self.name}: old {self.old:.6g}, new {self.new:.6g}, moved "
            f"{words.number(self.moved)} {self.unit}, allowed {words.number(self.allowed)}"
        )


@dataclass(frozen=True)
class Waiting:
    """What waits for one place; `old` is None where nothing is kept there."""

    place: Path
    old: Golden | Pins | None
    new: Golden | Pins

    @property
    def name(self) -> str:
        """``tiny/codec/fp32/exact-f32``."""
        return str(self.new.key) if isinstance(self.new, Golden) else self.new.name

    def rows(self) -> list[Row]:
        """Every number that both have, in the order of the file; none of a first one."""
        if isinstance(self.new, Golden) and isinstance(self.old, Golden):
            return [
                Row(f"{c.gate.name} {c.gate.where}".rstrip(), c.old, c.new, c.gate.value,
                    c.gate.allowed, c.gate.unit)
                for c in changes(self.old, self.new)
            ]  # fmt: skip
        if isinstance(self.new, Pins) and isinstance(self.old, Pins):
            return _pin_rows(self.old, self.new)
        return []

    def sentences(self) -> list[str]:
        """What does not hold, or that there was nothing."""
        if self.old is None:
            return ["nothing is kept so far"]
        if isinstance(self.new, Golden) and isinstance(self.old, Golden):
            return [v.summary for v in judge(self.old, self.new) if v.status != "pass"]
        assert isinstance(self.new, Pins)
        assert isinstance(self.old, Pins)
        return pins.beside(self.old, self.new)


def read_waiting(root: Path) -> list[Waiting]:
    """Everything that waits below `root`, beside what is kept in its place.

    Raises
    ------
    InputError
        One of the files is damaged, or waits for a place that no golden has.
    """
    return [_read(root, place) for place in list_waiting(root)]


def accept(root: Path, reason: str) -> list[Waiting]:
    """Put everything that waits in its place, with a reason; gives what was accepted.

    Raises
    ------
    InputError
        The reason is too short, a file is damaged, or nothing waits.
    """
    reason = check_reason(reason)
    found = read_waiting(root)
    if not found:
        raise InputError(f"nothing waits below {root}; `voxtral-parity golden check` lets it")
    for one in found:
        new = dataclasses.replace(one.new, reason=reason)
        if isinstance(new, Golden):
            store.write(one.place, new)
        else:
            pins.write(one.place, new)
        waiting_path(one.place).unlink()
    return found


def _read(root: Path, place: Path) -> Waiting:
    parts = place.relative_to(root).with_suffix("").parts
    if parts[0] in (store.PINNED, store.OUTPUTS):
        old, new = (pins.read_at(path, root) for path in (place, waiting_path(place)))
        assert new is not None
        return Waiting(place, old, new)
    if len(parts) != 4:
        raise InputError(f"{waiting_path(place)} waits where no golden is; remove it")
    key = GoldenKey(*parts)
    kept, fresh = (store.read_at(path, key) for path in (place, waiting_path(place)))
    assert fresh is not None
    return Waiting(place, kept, fresh)


def _pin_rows(old: Pins, new: Pins) -> list[Row]:
    drift = new.drift
    if drift is None:
        return []
    found = []
    for method, cases in new.methods.items():
        for label, pin in cases.items():
            before = old.methods.get(method, {}).get(label)
            if before is not None:
                rms, element = before.moved(pin)
                name = f"{method}, {label}"
                found.append(Row(name, before.rms, pin.rms, rms, drift.rms, "of RMS"))
                found.append(
                    Row(f"{name}, one element", before.projection, pin.projection, element,
                        drift.element, "of RMS")
                )  # fmt: skip
    return found
