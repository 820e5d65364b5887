"""Measure how far exports are from eager: what the allowances in `methods.catalog` stand on.

Run as ``nox -s tolerances -- [tiny|small|DIR]...``. Prints, for each method, the greatest value
of each gate over all cases, and how much of the allowance that is.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from harness.compare import Gate, Verdict
from harness.methods import METHODS
from harness.parity.request import Request
from harness.parity.run import Parity

__all__ = ["greatest", "main"]


def greatest(verdicts: Iterable[Verdict]) -> dict[str, Gate]:
    """For each gate of the tensor and waveform verdicts, its greatest measurement."""
    found: dict[str, list[Gate]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.kind in ("tensor", "waveform"):
            for gate in verdict.gates:
                found[gate.name].append(gate)
    return {name: max(gates, key=lambda gate: gate.value) for name, gates in found.items()}


def main(checkpoints: Iterable[str]) -> None:
    """Print the table of each checkpoint."""
    console = Console(width=100)
    for checkpoint in checkpoints:
        parity = Parity(Request(checkpoint=checkpoint))
        table = Table("method", "gate", "measured", "allowed", "used", title=checkpoint)
        for method in METHODS:
            for name, gate in greatest(parity.judge(method)).items():
                used = f"{gate.headroom_used:.0%}"
                table.add_row(method.name, name, f"{gate.value:.1e}", f"{gate.allowed:.1e}", used)
        console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:] or ["tiny"])
