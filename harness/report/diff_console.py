"""Two reports side by side, for a person on a terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.compare import words
from harness.compare.verdict import Status, Verdict
from harness.report.console import print_parts
from harness.report.diff import LEAST, Difference, Move, Pair
from harness.report.tables import plain_table, used

__all__ = ["cells", "closing", "moved_by", "print_difference", "status_words"]

_MOST = 30
"""Verdicts that moved and are shown."""


def print_difference(difference: Difference, console: Console | None = None) -> None:
    """Print what changed, what became worse first."""
    parts = [*_worse(difference), _settings(difference), _moved(difference),
             _otherwise(difference), _listed(difference)]  # fmt: skip
    colour = "red" if difference.exit_code else "green"
    shown = [Padding(part, (0, 0, 1, 0)) for part in parts if part is not None]
    print_parts(Group(*shown, Text(closing(difference), style=f"bold {colour}")), console)


def closing(difference: Difference) -> str:
    """The outcome in a line."""
    worse, better, moved = difference.worse, difference.better, difference.moved
    new, gone, otherwise = difference.new, difference.gone, difference.otherwise
    told = (*worse, *better, *moved, *new, *gone, *otherwise)
    same = len(difference.pairs) - len({id(pair) for pair in told})
    empty = f"{difference.empty} judged nothing; " if difference.empty else ""
    other = f"{len(otherwise)} with other elements or gates; " if otherwise else ""
    return (
        f"{empty}{words.count(len(worse), 'verdict')} became worse, {len(better)} better; "
        f"{len(moved)} moved by {LEAST:.0%} of their budget or more; {len(new)} new, "
        f"{len(gone)} gone; {other}{same} as before → exit code {difference.exit_code}"
    )


def status_words(pair: Pair) -> str:
    """``pass → fail``; what a run does not have is ``–``."""
    before, after = (_status(verdict) for verdict in (pair.before, pair.after))
    return before if before == after else f"{before} → {after}"


def cells(pair: Pair) -> list[str]:
    """Of the gate that moved most: name, share of its budget before and after, and by how much."""
    if not pair.moves:
        return ["", "", "", ""]
    move = pair.moves[0]
    shares = (move.before.headroom_used, move.share)
    return [_gate_words(move), *map(used, shares), moved_by(move.by)]


def _gate_words(move: Move) -> str:
    """Its name, and what it allows if that is another now."""
    old, new = move.before.allowed, move.after.allowed
    if old == new:
        return move.after.name
    return f"{move.after.name} (allowed {words.number(old)} → {words.number(new)})"


def moved_by(share: float) -> str:
    """``+12 %`` of a budget, or ``+1,590×``."""
    if share != share:
        return "NaN"
    return f"{'+' if share > 0 else '−'}{used(abs(share))}"


def _status(verdict: Verdict | None) -> str:
    return "–" if verdict is None else str(verdict.status)


def _worse(difference: Difference) -> list[RenderableType]:
    """A paragraph for each verdict that became worse."""
    found: list[RenderableType] = []
    for pair in difference.worse:
        verdict = pair.verdict
        label = "GONE" if pair.after is None else "WORSE"
        heading = Text.assemble(
            (f"{label} ", "bold red"), (f"{verdict.subject} · {verdict.case}", "bold"),
            f"  {status_words(pair)}",
        )  # fmt: skip
        lines = [Text(verdict.summary if pair.after else f"it said: {verdict.summary}")]
        if pair.moves:
            name, before, after, _ = cells(pair)
            lines.append(Text(f"{name}: {before} of its budget before, {after} now"))
        if pair.compared:
            lines.append(Text("; ".join(pair.compared)))
        if pair.after is not None and verdict.next:
            lines.append(Text(f"next: {verdict.next}"))
        found.append(Group(heading, Padding(Group(*lines), (0, 0, 0, 2))))
    return found


def _settings(difference: Difference) -> RenderableType | None:
    if not difference.settings:
        return Text("Command, checkpoint, versions, regime and artifacts are the same.")
    made = plain_table()
    for header in ("changed with it", "before", "after"):
        made.add_column(header, overflow="fold")
    for setting in difference.settings:
        made.add_row(*(Text(t or "–") for t in (setting.name, setting.before, setting.after)))
    return made


def _moved(difference: Difference) -> RenderableType | None:
    moved = difference.moved
    if not moved:
        return None
    made = _columns("method", "case", "", "gate", "before", "after", "moved")
    for pair in moved[:_MOST]:
        verdict = pair.verdict
        style = "bold red" if pair.worse else "green" if pair.better else ""
        row = [verdict.subject, verdict.case, status_words(pair), *cells(pair)]
        made.add_row(*(Text(cell, style=style) for cell in row))
    left = len(moved) - _MOST
    return Group(made, Text(f"{left} more moved less.")) if left > 0 else made


def _otherwise(difference: Difference) -> RenderableType | None:
    """What both runs have and do not compare alike."""
    if not difference.otherwise:
        return None
    made = _columns("method", "case", "", "compared otherwise")
    for pair in difference.otherwise:
        verdict, told = pair.verdict, "; ".join(pair.compared)
        row = (verdict.subject, verdict.case, status_words(pair), told)
        made.add_row(*(Text(cell, style="bold red" if pair.worse else "") for cell in row))
    return made


def _listed(difference: Difference) -> RenderableType | None:
    """What only one of the runs has."""
    if not (difference.new or difference.gone):
        return None
    made = _columns("only in one run", "method", "case", "status")
    for label, pairs in (("new", difference.new), ("gone", difference.gone)):
        for pair in pairs:
            verdict = pair.verdict
            style = "bold red" if verdict.status is Status.FAIL or pair.worse else ""
            row = (label, verdict.subject, verdict.case, str(verdict.status))
            made.add_row(*(Text(cell, style=style) for cell in row))
    return made


def _columns(*headers: str) -> Table:
    made = plain_table()
    for header in headers:
        right = header in ("before", "after", "moved")
        made.add_column(header, justify="right" if right else "left", overflow="fold")
    return made
