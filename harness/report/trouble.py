"""The parts of a page on what did not pass: the headline, what failed, what was not judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from harness.compare import words
from harness.compare.verdict import Gate, Status, Verdict
from harness.report.finding import Finding, Localized
from harness.report.markup import Markup, code, details, element, sentence, table, text
from harness.report.methods import ending
from harness.report.model import Report
from harness.report.plots import exact_plot
from harness.report.tables import used

__all__ = ["failures", "headline", "unjudged"]

_MOST_LINES = 60
"""Lines of a note that are shown; the JSON has all."""


def headline(report: Report) -> tuple[str, str]:
    """The verdict in a line, and its first cause where one is known."""
    failed = _ranked([v for v in report.verdicts if v.status is Status.FAIL])
    left = [v for v in report.verdicts if v.status is Status.UNJUDGED]
    if not failed and not left:
        return ending(report.verdicts), ""
    if not failed:
        told = f"{words.count(len(left), 'verdict')} could not be judged"
        reason = left[0].summary.partition(";")[0]
        return f"{told}; nothing is known to be wrong", f"First: {reason}"
    subjects = list(dict.fromkeys(verdict.subject for verdict in failed))
    told = f"a mismatch: {', '.join(subjects)}; {words.count(len(failed), 'verdict')} failed"
    first = next((f for one in report.findings for f in one.findings), None)
    disputed = next((n for v in failed for n in v.notes if n.startswith("Eager follows")), "")
    if first is None and disputed:
        return told, disputed
    if first is None:
        worst = failed[0]
        return told, f"First: {worst.subject}, {worst.case}: {_short(worst)}"
    cure = f"; the correction '{first.correction}' cures it" if first.correction else ""
    return told, f"First wrong: {first.place}; {first.owner} is at fault{cure}"


def failures(report: Report) -> Markup:
    """A card for each subject that failed; those whose wrong node is known come first."""
    by_subject: dict[str, list[Verdict]] = {}
    for verdict in _ranked([v for v in report.verdicts if v.status is Status.FAIL]):
        by_subject.setdefault(verdict.subject, []).append(verdict)
    if not by_subject:
        return ""
    located = {one.method for one in report.findings}
    order = sorted(by_subject, key=lambda subject: subject not in located)
    cards = [_card(report, subject, by_subject[subject]) for subject in order]
    return "\n".join(['<h2 id="failed">What failed</h2>', *cards])


def unjudged(report: Report) -> Markup:
    """What nothing can be said of, and what would help."""
    left = [v for v in report.verdicts if v.status is Status.UNJUDGED]
    if not left:
        return '<h2 id="unjudged">Not judged</h2>\n<p>Everything was judged.</p>'
    parts = [
        '<h2 id="unjudged">Not judged</h2>',
        "<p>Nothing can be said of these, neither that they are right nor that they are wrong.</p>",
        _next(left),
    ]
    rows = ((text(v.subject), text(v.case), text(sentence(v.summary)) + _small(v)) for v in left)
    return "\n".join([*parts, table(("subject", "case", "why"), rows)])


_SOURCES = (
    "Allowances: ", "Allowed: ", "Of eager's own error: ", "No rounding is in", "If the change is",
)  # fmt: skip
"""How notes begin that say where numbers come from, or what a reader does last."""

_BESIDE = "; beside what eager itself loses: "
"""In a summary: what follows stands in the table of gates too."""


def _ranked(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What comes before others first: links, codes; then what is furthest beyond its allowance."""
    order = {"exact": 0, "local": 1, "prompt": 2, "codes": 3}

    def rank(verdict: Verdict) -> tuple[int, float]:
        share = verdict.headroom_telling
        return order.get(verdict.kind, len(order)), -share if share == share else -math.inf

    return sorted(verdicts, key=rank)


def _card(report: Report, subject: str, verdicts: Sequence[Verdict]) -> Markup:
    found = [one for one in report.findings if one.method == subject]
    told = {line for one in found for line in _told(one)}
    explained = {one.link for one in found}
    notes = [n for v in verdicts for n in v.notes if v.kind not in explained]
    notes = [note for note in dict.fromkeys(notes) if note not in told]
    sources = [note for note in notes if note.startswith(_SOURCES)]
    parts = [
        element("h3", text(f"{subject}: {words.count(len(verdicts), 'verdict')} failed")),
        *(_located(one) for one in found),
        *(element("p", _lines(note)) for note in notes if note not in sources),
        _next(verdicts),
        table(("failed", "finding"), (
            (text(v.case), text(_short(v))) for v in verdicts
        )),
    ]  # fmt: skip
    gates = [(verdict, gate) for verdict in verdicts for gate in verdict.failed_gates]
    if gates:
        told_of = "".join(element("p", text(note), "small dim") for note in sources)
        parts.append(details("what was missed, and what is allowed", _gates(gates) + told_of))
    return element("section", "\n".join(part for part in parts if part), "card")


def _short(verdict: Verdict) -> str:
    """Its summary without what the table of gates says."""
    told, beside, rest = verdict.summary.partition(_BESIDE)
    count = words.count(rest.count(", ") + 1, "measure")
    return sentence(f"{told}; beside what eager itself loses, in {count}" if beside else told)


def _small(verdict: Verdict) -> Markup:
    return "".join(element("div", _lines(note), "small dim") for note in verdict.notes)


def _located(found: Localized) -> Markup:
    """The wrong nodes of one link, the first in full; the plot of the exact link; the proof."""
    if not found.findings:
        return element("p", text(found.proof))
    first, *others = found.findings
    parts = [element("p", text(f"First wrong node: {first.place}"), "place"), _node(first)]
    if found.steps:
        plot = exact_plot(found)
        note = f"The program and its graph, both in float64, node by node ({found.case}, call " \
               f"{found.call}): the first node above the line is wrong."  # fmt: skip
        parts.append(f"<figure>{plot}<figcaption>{text(note)}</figcaption></figure>")
    for other in others:
        parts.append(element("p", text(f"Wrong too: {other.place}"), "place"))
        parts.append(details("values, source and script", _node(other)))
    parts.append(f"<p><b>Proof.</b> {text(found.proof)}</p>")
    return element("div", "\n".join(parts), "finding")


def _node(finding: Finding) -> Markup:
    """What is known of one wrong node, and what to do."""
    pairs = list(_facts(finding))
    inner = "".join(f"<dt>{text(name)}</dt><dd>{value}</dd>" for name, value in pairs)
    made = f"<dl>{inner}</dl>"
    if finding.repro:
        made += details("minimal script that fails", code(finding.repro, block=True))
    return made


def _facts(finding: Finding) -> Iterator[tuple[str, Markup]]:
    place = finding.place
    yield "what to do", element("b", text(finding.advice))
    yield "at fault", text(finding.owner)
    unit = "of its bound" if finding.link == "local" else "of its scale"
    yield "off by", text(f"{words.number(finding.error)} {unit}")
    if place.op:
        yield "node type", text(f"{place.op} (step {place.step})")
    if place.target:
        shapes = ", ".join(words.shape(shape) for shape in place.shapes)
        yield "operator", f"{code(place.target)} {text(f'shapes {shapes}')}"
    if place.module:
        yield "module", code(place.module)
    if place.source:
        yield "source line", code(place.source)
    if finding.made:
        yield "values", _values(finding)


def _values(finding: Finding) -> Markup:
    made, meant = (
        ", ".join(f"{value:.6g}" for value in side) for side in (finding.made, finding.meant)
    )
    where = words.place(finding.index) if finding.index else "its value"
    return text(f"around {where}: made {made}; meant {meant}")


def _gates(pairs: Iterable[tuple[Verdict, Gate]]) -> Markup:
    rows = (
        (text(verdict.case), text(gate.name), text(words.number(gate.value)),
         text(words.number(gate.allowed)), text(used(gate.headroom_used)),
         text(", ".join(filter(None, (gate.unit, gate.where)))))
        for verdict, gate in pairs
    )  # fmt: skip
    return table(("case", "gate", "value", "allowed", "used", ""), rows, "numbers")


def _told(found: Localized) -> Iterator[str]:
    for finding in found.findings:
        yield from finding.sentences()
    yield found.proof


def _lines(note: str) -> Markup:
    """A note, which may be a compiler's log."""
    lines = note.strip().splitlines()
    left = len(lines) - _MOST_LINES
    more = [f"… {left} more lines in the JSON"] if left > 0 else []
    return "<br>".join(text(line) for line in [*lines[:_MOST_LINES], *more])


def _next(verdicts: Sequence[Verdict]) -> Markup:
    """Each command once."""
    commands = dict.fromkeys(verdict.next for verdict in verdicts if verdict.next)
    blocks = "".join(code(command, block=True) for command in commands)
    return f"<p><b>Type next</b></p>{blocks}" if blocks else ""
