"""What waits to be blessed beside what is kept, as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare import words
from harness.compare.sound import BAND_EDGES_HZ, ENVELOPE_SECONDS
from harness.compare.verdict import Status
from harness.files import replace_file
from harness.golden.beside import Row, Waiting
from harness.golden.store import Golden
from harness.report.drawing import FAULT, MADE, MEANT, drawn
from harness.report.markup import Markup, badge, details, element, sentence, table, text
from harness.report.page import document

__all__ = ["to_golden_page", "write_golden_page"]


def to_golden_page(found: Sequence[Waiting]) -> str:
    """The page: a card for each, with its numbers, and a picture of what is a sound."""
    title = f"{words.count(len(found), 'golden')} {'waits' if len(found) == 1 else 'wait'}"
    head = element("header", f"<h1>{text(title)} to be blessed.</h1>", "verdict unjudged")
    cards = (_card(f"golden-{number}", one) for number, one in enumerate(found))
    return document(f"voxtral-parity golden: {title}", "\n".join([head, *cards]))


def write_golden_page(found: Sequence[Waiting], path: Path) -> None:
    """Write it to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_golden_page(found), encoding="utf-8")


def _card(name: str, one: Waiting) -> Markup:
    return element("section", "\n".join(_parts(name, one)), "card")


def _parts(name: str, one: Waiting) -> Iterator[Markup]:
    yield element("h3", text(one.name))
    for line in one.sentences():
        yield element("p", text(sentence(line)))
    if isinstance(one.new, Golden) and (one.old is None or isinstance(one.old, Golden)):
        yield f"<figure>{_picture(name, one.old, one.new)}</figure>"
    rows = one.rows()
    if rows:
        broken = [row for row in rows if not row.holds]
        if broken:
            yield _table(broken)
        yield details(f"all {len(rows)} numbers, old beside new", _table(rows))


def _table(rows: Sequence[Row]) -> Markup:
    return table(
        ("", "what", "old", "new", "moved", "allowed", "unit"),
        (
            (badge(Status.PASS if row.holds else Status.FAIL), text(row.name),
             text(f"{row.old:.7g}"), text(f"{row.new:.7g}"), text(words.number(row.moved)),
             text(words.number(row.allowed)), text(row.unit))
            for row in rows
        ),
        "numbers",
    )  # fmt: skip


def _picture(name: str, old: Golden | None, new: Golden) -> Markup:
    """Envelope and bands, old and new."""
    sides = [(old, MEANT, "old"), (new, MADE if old is None else FAULT, "new")]

    def draw(figure: Any) -> None:
        envelope, bands = figure.subplots(1, 2)
        for golden, colour, label in sides:
            if golden is None:
                continue
            wide = 5 if label == "old" else 1.5
            levels = golden.statistics.envelope_dbfs
            seconds = np.arange(len(levels)) * ENVELOPE_SECONDS
            envelope.plot(seconds, levels, color=colour, linewidth=wide, label=label)
            edges = np.array(BAND_EDGES_HZ, float)
            bands.stairs(
                golden.statistics.band_dbfs, edges, baseline=None, color=colour, linewidth=wide
            )
        envelope.set_title("envelope, each 100 ms")
        envelope.set_xlabel("seconds")
        envelope.set_ylabel("dB of full scale")
        envelope.legend(loc="best")
        bands.set_title("bands")
        bands.set_xlabel("Hz")

    return drawn(name, f"envelope and bands of {new.key}, old and new", (1000, 240), draw)
