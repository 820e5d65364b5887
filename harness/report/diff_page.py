"""Two reports side by side, as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.compare import words
from harness.compare.verdict import Status
from harness.files import replace_file
from harness.report.diff import Difference, Pair
from harness.report.diff_console import cells, closing, status_words
from harness.report.markup import Markup, badge, bar, code, element, sentence, table, text
from harness.report.model import Report
from harness.report.page import document

__all__ = ["to_difference_page", "write_difference_page"]


def to_difference_page(difference: Difference) -> str:
    """The page: the outcome, what became worse, what changed with it, what moved."""
    worse = words.count(len(difference.worse), "verdict")
    title = f"{worse} became worse" if difference.worse else "nothing became worse"
    title = f"{difference.empty} judged nothing" if difference.empty else title
    return document(f"voxtral-parity diff: {title}", "\n".join(_sections(difference, title)))


def write_difference_page(difference: Difference, path: Path) -> None:
    """Write it to `path`, whole or not at all."""
    with replace_file(path) as scratch:
        scratch.write_text(to_difference_page(difference), encoding="utf-8")


def _sections(difference: Difference, title: str) -> Iterator[Markup]:
    status = (Status.PASS, Status.FAIL, Status.UNJUDGED)[difference.exit_code]
    runs = (_run(name, report) for name, report in (
        ("before", difference.before), ("after", difference.after)))  # fmt: skip
    lines = f"<h1>{text(sentence(title))}</h1><p>{text(closing(difference))}</p>{''.join(runs)}"
    yield f'<header class="verdict {status}">{lines}</header>'
    if difference.worse:
        yield "<h2>What became worse</h2>"
        yield from map(_card, difference.worse)
    yield "<h2>What changed with it</h2>"
    if difference.settings:
        rows = ([text(each or "–") for each in (s.name, s.before, s.after)]
                for s in difference.settings)  # fmt: skip
        yield table(("", "before", "after"), rows)
    else:
        yield element("p", "Command, checkpoint, versions, regime and artifacts are the same.")
    if difference.moved:
        yield "<h2>What moved</h2>"
        yield element("p", "The gate of each verdict that moved most, in shares of its budget.")
        yield table(("subject", "case", "", "gate", "before", "after", "moved"),
                    map(_row, difference.moved), "numbers")  # fmt: skip
    if difference.otherwise:
        yield "<h2>What is compared otherwise</h2>"
        yield table(("subject", "case", "", "elements and gates"),
                    map(_otherwise, difference.otherwise))  # fmt: skip
    for name, pairs in (("New", difference.new), ("Gone", difference.gone)):
        if pairs:
            yield f"<h2>{name}</h2>"
            yield _listed(pairs)


def _run(name: str, report: Report) -> Markup:
    told = (
        f"{name}: {report.started}, {report.checkpoint.name}, {report.precision}, "
        f"{report.executor.executor} on {report.executor.device}; exit code {report.exit_code}"
    )
    return element("p", text(told), "dim")


def _card(pair: Pair) -> Markup:
    verdict = pair.verdict
    parts = [
        element("h3", text(f"{verdict.subject} · {verdict.case}: {status_words(pair)}")),
        element(
            "p", text(sentence(verdict.summary if pair.after else f"it said: {verdict.summary}"))
        ),
    ]
    if pair.moves:
        move = pair.moves[0]
        shares = f"before {bar(move.before.headroom_used)} after {bar(move.share)}"
        parts.append(element("p", f"{text(cells(pair)[0])}: {shares}"))
    if pair.compared:
        parts.append(element("p", text(sentence("; ".join(pair.compared)))))
    if pair.after is not None and verdict.next:
        parts.append(f"<p><b>Type next</b></p>{code(verdict.next, block=True)}")
    return element("section", "".join(parts), "card")


def _row(pair: Pair) -> Sequence[Markup]:
    verdict, move = pair.verdict, pair.moves[0]
    name, _, _, moved = cells(pair)
    shares = (bar(move.before.headroom_used), bar(move.share))
    told = (verdict.subject, verdict.case, status_words(pair), name)
    return [*map(text, told), *shares, text(moved)]


def _otherwise(pair: Pair) -> Sequence[Markup]:
    verdict = pair.verdict
    told = (verdict.subject, verdict.case, status_words(pair), "; ".join(pair.compared))
    return [*map(text, told)]


def _listed(pairs: Sequence[Pair]) -> Markup:
    rows = (
        (badge(p.verdict.status), text(p.verdict.subject), text(p.verdict.case),
         text(p.verdict.summary))
        for p in pairs
    )  # fmt: skip
    return table(("", "subject", "case", "finding"), rows)
