"""Write the ledger: the file, and the same as a table to review, `docs/ledger.md`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from harness.budget.ledger import FILE, HEADROOM, SCHEMA, Ledger, Row

__all__ = ["PAGE", "page", "write_ledger"]

PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"

_TABLES = {
    "own": "Times eager's own error against the float64 oracle, for every method and precision",
    "factor": "Times that, for who rounds oftener than eager (measured: the least that passes)",
    "cap": "Of a method's outputs against eager of the same precision, at most",
    "decision": "What a code is decided on, against eager along the same codes",
    "exact": "The exact link: a program in float64 against eager in float64, of the scale",
    "local": "The local link: sums over one step's elements, beside the bound of each",
}

_HEAD = """# The ledger: every committed allowance

Written by `nox -s calibrate -- --write` from `harness/budget/ledger.json`; edit neither by hand
without a reason. *headroom* is what is allowed over the worst that a right export was measured to
have; a row with more than its table may have must give a reason, and a test holds that.
"""


def write_ledger(ledger: Ledger, path: Path = FILE, page_path: Path = PAGE) -> None:
    """Write both files."""
    told = {
        "schema": SCHEMA,
        "runs": {name: dataclasses.asdict(run) for name, run in ledger.runs.items()},
        "rows": [_brief(row) for row in ledger.rows],
    }
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page_path.write_text(page(ledger), encoding="utf-8")


def page(ledger: Ledger) -> str:
    """The ledger in Markdown."""
    runs = {name: number for number, name in enumerate(ledger.runs, 1)}
    lines = [_HEAD]
    for name, title in _TABLES.items():
        rows = ledger.table(name)
        lines += [f"## {title}", "", f"At most {HEADROOM[name]:g} times the worst measured.", ""]
        lines += ["| of | check | measured | allowed | headroom | worst | run | reason |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [_line(row, runs) for row in rows]
        lines.append("")
    lines += [
        "## Runs",
        "",
        "| run | date | machine | executor | checkpoint | weights | seeds | cases |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, run in ledger.runs.items():
        facts = (
            run.date, run.machine, run.executor, run.checkpoints, run.weights, run.seeds,
            f"{run.cases:,}",
        )  # fmt: skip
        lines.append(f"| {runs[name]} | " + " | ".join(map(str, facts)) + " |")
    return "\n".join(lines) + "\n"


def _line(row: Row, runs: dict[str, int]) -> str:
    scope = " ".join(filter(None, (row.lowering, row.regime, row.precision, row.method))) or "all"
    cells = (
        scope, row.check, f"{row.measured:.2g}", f"{row.allowed:.2g}", f"{row.headroom:.2g}",
        row.worst, str(runs[row.run]), row.reason,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _brief(row: Row) -> dict[str, object]:
    return {name: value for name, value in dataclasses.asdict(row).items() if value != ""}
