"""The measurement behind the allowances takes the worst of every case."""

from __future__ import annotations

import pytest

from harness.compare import Gate, Status, Verdict
from harness.methods import select_methods
from harness.parity.measure import greatest, measurable


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


@pytest.mark.parametrize(("method", "masked"), [("codec", False), ("semantic_head", True)])
def test_what_has_no_allowance_can_be_measured(method: str, masked: bool) -> None:
    (known,) = select_methods([method])

    stand_in = measurable(known, "fp8").allowances["fp8"]

    assert (stand_in.max_abs, stand_in.masked) == (1e9, masked)
    assert measurable(known, "fp32") is known
