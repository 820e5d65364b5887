"""The parts of a page that show what was measured: each method, each sound, the decisions."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare import words
from harness.compare.verdict import Status
from harness.report.figures import Decisions, Element, Figures, Outputs, Sound
from harness.report.markup import Markup, badge, details, element, table, text
from harness.report.methods import LINKS, Row, rows
from harness.report.model import Report
from harness.report.plots import decisions_plot, histogram_plot, steps_plot
from harness.report.sounds import (
    PLAYED_SECONDS,
    difference_plot,
    parts_plot,
    spectrograms_plot,
    wav_uri,
)
from harness.report.tables import used

__all__ = ["decisions", "methods", "sounds"]

_WORST = 10
"""Elements of a method, and decisions, that a table lists."""


def methods(report: Report, figures: Figures) -> Markup:
    """Plots and worst elements of each method, those that failed being open."""
    made = [_method(row, report, figures) for row in rows(report.verdicts)]
    inner = "\n".join(part for part in made if part)
    return f"<h2>Where errors arise</h2>\n{inner}" if inner else ""


def sounds(figures: Figures) -> Markup:
    """Plots of each sound, and both sides of it to listen to."""
    if not figures.sounds:
        return '<h2 id="sound">Sound</h2>\n<p class="dim">No sound was made in this run.</p>'
    made = [_sound(f"sound-{n}", sound) for n, sound in enumerate(figures.sounds)]
    return "\n".join(['<h2 id="sound">Sound</h2>', *made])


def decisions(report: Report, figures: Figures) -> Markup:
    """The codes that eager would have chosen otherwise, ties told from faults."""
    title = '<h2 id="decisions">Decisions</h2>\n'
    found = figures.decisions
    if found is None:
        return title + element("p", "No decision was compared with eager in this run.", "dim")
    if not found.differing:
        told = f"All {words.count(found.count, 'decision')} of {words.count(found.frames, 'frame')}"
        return title + element("p", text(f"{told} are eager's: no tie, no fault."))
    counts = {what: sum(d.what == what for d in found.differing) for what in _WHAT}
    told = ", ".join(_counted(n, what) for what, n in counts.items() if n)
    sentence = (
        f"{len(found.differing)} of {words.count(found.count, 'decision')} are not eager's, who "
        f"followed the same codes: {told}. A tie lies within what rounding can do."
    )
    plot = f"<figure>{decisions_plot(found)}</figure>"
    return title + element("p", text(sentence)) + plot + _decided(found)


_WHAT = ("tie", "fault", "not judged")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if what == "not judged" else words.count(count, what)


def _method(row: Row, report: Report, figures: Figures) -> Markup:
    steps = next((each for each in figures.steps if each.method == row.subject), None)
    outputs = [each for each in figures.outputs if each.method == row.subject]
    if steps is None and not outputs:
        return ""
    parts = []
    if steps is None:
        parts.append(element("p", "The executor does not let its steps be seen.", "dim"))
    else:
        note = "The local link: each step's error over its bound, in the call where it is greatest."
        parts.append(_figure(steps_plot(steps), note))
    if outputs:
        parts.append(_end_to_end(row.subject, outputs))
    pairs = zip(LINKS, row.used, strict=True)
    shares = ", ".join(f"{link} {used(share)}" for link, share in pairs if share is not None)
    summary = f"{badge(row.status)} {text(row.subject)} <span class='dim'>{text(shares)}</span>"
    made = details(summary, "\n".join(parts), opened=row.status is Status.FAIL)
    return made.replace("<details", '<details class="method"', 1)


def _figure(plot: Markup, note: str) -> Markup:
    return f"<figure>{plot}<figcaption>{text(note)}</figcaption></figure>"


def _end_to_end(method: str, outputs: Sequence[Outputs]) -> Markup:
    """Histogram and worst elements, where anything differs."""
    sizes = [(shares.size, int((shares > 0).sum())) for shares in map(Outputs.shares, outputs)]
    total, differ = (sum(column) for column in zip(*sizes, strict=True))
    told = f"End to end: {total:,} elements of {words.count(len(outputs), 'case')}"
    if not differ:
        return element("p", text(f"{told}, every one equal to eager's."), "dim")
    plot = _figure(histogram_plot(method, outputs), f"{told}, {differ:,} not equal to eager's.")
    return element("div", f"{plot}{_worst(outputs)}", "pair")


def _worst(outputs: Sequence[Outputs]) -> Markup:
    found = [element for each in outputs for element in each.worst(_WORST)]
    found.sort(key=lambda element: -element.share)
    return table(
        ("worst elements", "at", "program", "eager", "used"),
        (
            (text(e.case), element("span", text(_at(e)), "whole"),
             text(f"{e.made:.7g}"), text(f"{e.meant:.7g}"), text(used(e.share)))
            for e in found[:_WORST]
        ),
        "numbers",
    )  # fmt: skip


def _at(found: Element) -> str:
    return words.place((found.call, *found.index), called=True)


def _sound(name: str, sound: Sound) -> Markup:
    players = "".join(
        f"<p>{label} <audio controls preload='metadata' src='{wav_uri(side, sound.sample_rate)}'>"
        "</audio></p>"
        for label, side in (("program", sound.made), ("eager", sound.meant))
    )
    seconds = sound.made.size / sound.sample_rate
    told = f"{words.count(sound.frames, 'frame')}, {seconds:.2f} s at {sound.sample_rate:,} Hz"
    if seconds > PLAYED_SECONDS:
        told += f"; the first {PLAYED_SECONDS:.0f} s can be played"
    if sound.made.size != sound.meant.size:
        told += f"; eager's has {sound.meant.size / sound.sample_rate:.2f} s"
    return "\n".join(
        (
            element("h3", text(sound.title)),
            element("p", text(told), "dim"),
            element("div", players, "pair"),
            _figure(difference_plot(name, sound), "Overlay, and difference with what is allowed."),
            _figure(spectrograms_plot(name, sound), "All three in one scale of levels."),
            _figure(parts_plot(name, sound), "Errors by time and by frequency; envelopes."),
        )
    )


def _decided(found: Decisions) -> Markup:
    ranked = sorted(found.differing, key=lambda each: (each.what == "tie", each.frame, each.book))
    rows = []
    for each in ranked[:_WORST]:
        distance = f"{words.number(each.distance)} {each.unit}"
        allowed = "–" if each.what == "not judged" else words.number(each.allowed)
        cells = (each.what, each.frame, each.book, each.code, distance, allowed)
        rows.append([text(cell) for cell in cells])
    headers = ("", "frame", "codebook", "code", "distance", "a tie has up to")
    more = len(ranked) - _WORST
    note = element("p", f"and {more} more", "dim") if more > 0 else ""
    return table(headers, rows, "numbers") + note
