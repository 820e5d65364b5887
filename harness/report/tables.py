"""The tables of the console report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from harness.compare import words
from harness.compare.verdict import Gate, Status, Verdict

__all__ = ["checks_table", "gates_table", "levels_table", "plain_table", "used", "values_table"]

_MARKS = {
    Status.PASS: ("✓", "green"),
    Status.FAIL: ("✗", "bold red"),
    Status.UNJUDGED: ("?", "bold yellow"),
}

_VALUES = ("tensor", "waveform")
"""Kinds of verdict that have numbers enough for a row of the first table."""

_NONE = "–"


@dataclass(frozen=True)
class _Column:
    """One column: shown from `width` columns of terminal on, in the order declared."""

    header: str
    cell: Callable[[Verdict], str]
    width: int = 0
    left: bool = False


def values_table(verdicts: Sequence[Verdict], width: int) -> Table | None:
    """A row for each tensor or waveform; None if there is none."""
    columns = [column for column in _COLUMNS if width >= column.width]
    made = plain_table()
    made.add_column("", no_wrap=True)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column.left else "right"
        made.add_column(column.header, justify=justify, no_wrap=column.header != "case")
    for verdict in verdicts:
        if verdict.kind in _VALUES:
            _add_row(made, verdict, [column.cell(verdict) for column in columns])
    return made if made.row_count else None


def checks_table(verdicts: Sequence[Verdict]) -> Table | None:
    """A row for each judgement that is not of values; None if there is none."""
    made = plain_table()
    for header in ("", "method", "check", "finding"):
        made.add_column(header, overflow="fold", no_wrap=header == "")
    for verdict in verdicts:
        if verdict.kind not in _VALUES:
            _add_row(made, verdict, [verdict.subject, verdict.case, verdict.summary])
    return made if made.row_count else None


def levels_table(verdicts: Sequence[Verdict]) -> Table | None:
    """Levels of each waveform before and after the 16-bit cast, dB of full scale.

    The reference has rows of its own only where it reads differently.
    """
    made = plain_table()
    made.add_column("waveform", overflow="fold")
    made.add_column("signal", no_wrap=True)
    for header in ("peak", "dBFS", "clipped", "run", "RMS", "DC"):
        made.add_column(header, justify="right", no_wrap=True)
    for verdict in verdicts:
        label = verdict.case
        for key, form in (("float", "float"), ("pcm16", "16-bit")):
            sides = {
                side: _level_cells(verdict, f"{side}.{key}.")
                for side in ("candidate", "reference")
                if f"{side}.{key}.peak" in verdict.metrics
            }
            if len(sides) == 2 and sides["candidate"] == sides["reference"]:
                sides = {"both": sides["candidate"]}
            for side, cells in sides.items():
                made.add_row(Text(label), f"{side} {form}", *cells)
                label = ""
    return made if made.row_count else None


def gates_table(verdict: Verdict) -> Table:
    """The gates that failed, with old and new where the verdict knows them."""
    gates = verdict.failed_gates
    aged = any(f"{gate.name}.old" in verdict.metrics for gate in gates)
    made = plain_table()
    made.add_column("gate", overflow="fold")
    for header in (("old", "new", "moved") if aged else ("value",)) + ("allowed", "used"):
        made.add_column(header, justify="right", no_wrap=True)
    made.add_column("")
    for gate in gates:
        ages = [_real(verdict, f"{gate.name}.{age}", 6) for age in ("old", "new")] if aged else []
        numbers = (words.number(gate.value), words.number(gate.allowed), used(gate.headroom_used))
        made.add_row(
            Text(gate.name), *ages, *numbers, Text(", ".join(filter(None, (gate.unit, gate.where))))
        )
    return made


def _level_cells(verdict: Verdict, prefix: str) -> list[str]:
    metrics = verdict.metrics
    return [
        _real(verdict, f"{prefix}peak", 5),
        _decibels(metrics[f"{prefix}peak_dbfs"]),
        f"{metrics[f'{prefix}clipped']:,}",
        f"{metrics[f'{prefix}longest_clip_run']:,}",
        _decibels(metrics[f"{prefix}rms_dbfs"]),
        _decibels(metrics[f"{prefix}dc_dbfs"]),
    ]


def plain_table() -> Table:
    """A table with no lines but that below its headers."""
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="dim",
    )


def _add_row(table: Table, verdict: Verdict, cells: Sequence[str]) -> None:
    mark, style = _MARKS[verdict.status]
    plain = "" if verdict.status is Status.PASS else style
    table.add_row(Text(mark, style=style), *(Text(cell, style=plain) for cell in cells))


def _real(verdict: Verdict, name: str, digits: int = 2) -> str:
    value = verdict.metrics.get(name)
    return words.number(value, digits) if isinstance(value, (int, float)) else _NONE


def _decibels(value: object, digits: int = 2) -> str:
    if not isinstance(value, (int, float)):
        return _NONE
    return f"{value:.{digits}f}" if math.isfinite(value) else words.number(value)


def used(share: float) -> str:
    """Share of an allowance in percent; where that is beyond reading, as a multiple."""
    if not math.isfinite(share):
        return words.number(share)
    if share < 10:
        return "<1%" if 0 < share < 0.01 else f"{share:.0%}"
    return f"{share:,.0f}×" if share < 1e5 else f"{words.number(share)}×"


def _gate(verdict: Verdict) -> Gate | None:
    """The gate on the greatest difference; only where it was reached do the numbers count."""
    return next((gate for gate in verdict.gates if gate.name == "max abs"), None)


def _allowed(verdict: Verdict) -> str:
    gate = _gate(verdict)
    return words.number(gate.allowed) if gate else _NONE


def _metric(name: str, digits: int = 2) -> Callable[[Verdict], str]:
    return lambda verdict: _real(verdict, name, digits) if _gate(verdict) else _NONE


def _snr(verdict: Verdict) -> str:
    value = verdict.metrics.get("snr_db")
    if not _gate(verdict):
        return _NONE
    return "exact" if value == math.inf else _decibels(value, 1)


def _gain(verdict: Verdict) -> str:
    value = verdict.metrics.get("gain")
    return f"{value:.6f}" if _gate(verdict) and isinstance(value, float) else _NONE


def _worst(verdict: Verdict) -> str:
    value = verdict.metrics.get("worst_index")
    if not _gate(verdict) or not isinstance(value, tuple) or not verdict.metrics.get("max_abs"):
        return _NONE
    position = [int(i) for i in value if isinstance(i, int)]
    return words.place(position, called=verdict.metrics.get("calls", 1) != 1)


_COLUMNS = (
    _Column("method", lambda v: v.subject, left=True),
    _Column("case", lambda v: v.case, left=True),
    _Column("calls", lambda v: _real(v, "calls"), width=120),
    _Column("elements", lambda v: f"{v.elements:,}"),
    _Column("max abs", _metric("max_abs"), width=120),
    _Column("/ scale", _metric("max_abs_scaled")),
    _Column("allowed", _allowed),
    _Column("used", lambda v: used(v.headroom_telling) if _gate(v) else _NONE),
    _Column("SNR dB", _snr),
    _Column("gain", _gain, width=96),
    _Column("worst at", _worst, width=120),
    _Column("cosine", _metric("cosine", 9), width=160),
)
