"""The measurement behind the allowances takes the worst of every case."""

from __future__ import annotations

from harness.budget import ANYTHING, COMMITTED, MEASURING
from harness.compare import Gate, Status, Verdict
from harness.parity.measure import greatest


def verdict(kind: str, case: str, *gates: Gate) -> Verdict:
    return Verdict("codec", case, kind, Status.FAIL, "", gates=gates)


def test_the_greatest_value_of_each_gate_counts() -> None:
    found = greatest(
        [
            verdict("tensor", "a", Gate("max abs", 1e-6, 1e-5), Gate("gain error", 2e-9, 1e-8)),
            verdict("waveform", "b", Gate("max abs", 3e-6, 1e-5)),
            verdict("delegation", "c", Gate("max abs", 1.0, 0.0)),
        ]
    )
    assert {name: (one.gate.value, one.case) for name, one in found.items()} == {
        "max abs": (3e-6, "b"),
        "gain error": (2e-9, "a"),
    }


def test_what_has_no_allowance_is_measured_all_the_same() -> None:
    assert COMMITTED.of("mlx", "fp8", "codec") is None
    stand_in = MEASURING.of("mlx", "fp8", "codec")
    assert stand_in is not None
    assert stand_in.max_abs == ANYTHING
    assert MEASURING.of("mlx", "fp32", "codec") == COMMITTED.of("mlx", "fp32", "codec")
