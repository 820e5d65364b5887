"""The measurement behind the allowances takes the worst of every case."""

from __future__ import annotations

from harness.compare import Gate, Status, Verdict
from harness.parity.measure import greatest


def verdict(kind: str, *gates: Gate) -> Verdict:
    return Verdict("codec", "case", kind, Status.FAIL, "", gates=gates)


def test_the_greatest_value_of_each_gate_counts() -> None:
    found = greatest(
        [
            verdict("tensor", Gate("max abs", 1e-6, 1e-5), Gate("gain error", 2e-9, 1e-8)),
            verdict("waveform", Gate("max abs", 3e-6, 1e-5)),
            verdict("delegation", Gate("max abs", 1.0, 0.0)),
        ]
    )
    assert {name: gate.value for name, gate in found.items()} == {
        "max abs": 3e-6,
        "gain error": 2e-9,
    }
