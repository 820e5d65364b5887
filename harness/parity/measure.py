"""Measure how far exports are from eager: what the allowances in `methods` stand on.

Run as ``nox -s tolerances -- [tiny|small|DIR]… [--precision P]… [--executor E]``. Prints, for
each method, the greatest value of each gate over all cases, how much of the allowance that is,
and which case had it. Methods without an allowance are measured too.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from harness.budget import ANYTHING, MEASURING
from harness.compare import Gate, Verdict
from harness.methods.precision import PRECISIONS
from harness.parity.check import Checked, check
from harness.parity.judges.speech import SUBJECT
from harness.parity.request import Request

__all__ = ["Measured", "greatest", "main"]


@dataclass(frozen=True)
class Measured:
    """The greatest value of one gate, and the case that had it."""

    gate: Gate
    case: str


def greatest(verdicts: Iterable[Verdict]) -> dict[str, Measured]:
    """For each gate of the tensor and waveform verdicts, its greatest measurement."""
    found: dict[str, list[Measured]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.kind in ("tensor", "waveform", "codes"):
            for gate in verdict.gates:
                found[gate.name].append(Measured(gate, verdict.case))
    return {name: max(those, key=lambda one: one.gate.value) for name, those in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of each checkpoint in each precision."""
    parser = argparse.ArgumentParser(prog="nox -s tolerances --", description=__doc__)
    parser.add_argument("checkpoints", nargs="*", default=["tiny"], metavar="tiny|small|DIR")
    parser.add_argument(
        "--precision", action="append", metavar="P", help=f"repeatable: {', '.join(PRECISIONS)}"
    )
    parser.add_argument("--executor", default="auto", metavar="E", help="xnnpack measures XNNPACK")
    parser.add_argument(
        "--method", action="append", default=[], metavar="METHOD", help="repeatable; all six"
    )
    given = parser.parse_args(arguments)
    console = Console(width=120)

    def say(text: str) -> None:
        console.print(f"· {text}", style="dim")

    for checkpoint in given.checkpoints:
        for precision in given.precision or ["fp32"]:
            request = Request(
                checkpoint=checkpoint,
                methods=tuple(given.method),
                precision=precision,
                executor=given.executor,
            )
            checked = check(request, say, budget=MEASURING)
            title = f"{checkpoint}, {checked.plan.lowering} in {checked.plan.precision.allowance}"
            console.print(_table(title, _measured(checked)))


def _measured(checked: Checked) -> dict[str, dict[str, Measured]]:
    """Gate by gate for each method."""
    return {
        name: greatest(verdict for verdict in checked.verdicts if verdict.subject == name)
        for name in (*checked.plan.methods, SUBJECT)
    }


def _table(title: str, measured: Mapping[str, Mapping[str, Measured]]) -> Table:
    table = Table("method", "gate", "measured", "allowed", "used", "case", title=title)
    for method, gates in measured.items():
        for name, one in gates.items():
            known = one.gate.allowed < ANYTHING
            table.add_row(
                method,
                name,
                f"{one.gate.value:.1e}",
                f"{one.gate.allowed:.1e}" if known else "none yet",
                f"{one.gate.headroom_used:.0%}" if known else "",
                one.case,
            )
    return table


if __name__ == "__main__":
    main()
