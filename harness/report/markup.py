"""Pieces of HTML. What is text is escaped here and nowhere else; the rest is markup already."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from harness.compare.verdict import NEAR, Status
from harness.report.tables import used

__all__ = ["Markup", "badge", "bar", "code", "details", "element", "sentence", "table", "text"]

Markup = str
"""HTML that may stand in the page as it is."""

_LABELS = {Status.PASS: "pass", Status.FAIL: "FAIL", Status.UNJUDGED: "not judged"}


def text(value: object) -> Markup:
    """Anything, as text."""
    return html.escape(str(value))


def sentence(value: str) -> str:
    """With a capital and a full stop."""
    return value[:1].upper() + value[1:] + ("" if value.endswith((".", "!", "?", "`")) else ".")


def element(tag: str, inner: Markup, kind: str = "") -> Markup:
    """``<tag class="kind">inner</tag>``."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{inner}</{tag}>"


def code(value: str, *, block: bool = False) -> Markup:
    """What is typed or was said, letter by letter."""
    return f"<pre><code>{text(value)}</code></pre>" if block else f"<code>{text(value)}</code>"


def badge(status: Status) -> Markup:
    """How something came out, as a word in a colour."""
    return element("span", _LABELS[status], f"badge {status}")


def table(headers: Sequence[str], rows: Iterable[Sequence[Markup]], kind: str = "") -> Markup:
    """A table; cells are markup."""
    head = "".join(f"<th>{text(header)}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}</tr>\n" for cells in rows)
    made = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return element("div", made, f"scroll {kind}".rstrip())


def details(summary: Markup, inner: Markup, *, opened: bool = False) -> Markup:
    """What is shown when it is asked for."""
    attribute = " open" if opened else ""
    return f"<details{attribute}><summary>{summary}</summary>\n{inner}\n</details>"


def bar(share: float | None, *, usual: bool = False) -> Markup:
    """A share of an allowance as a bar that is full at 100 %; red beyond.

    `usual` says that right values reach 100 %, so that being near it is worth no colour.
    """
    if share is None:
        return element("span", "–", "none")
    over = not share <= 1.0
    width = 100.0 if over or math.isnan(share) else 100.0 * share
    kind = "over" if over else "near" if share > NEAR and not usual else "within"
    filled = f'<span class="fill {kind}" style="width:{width:.1f}%"></span>'
    label = f'<span class="share {kind}">{text(used(share))}</span>'
    return f'<span class="bar">{filled}</span>{label}'
