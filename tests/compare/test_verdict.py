from __future__ import annotations

import math

import pytest

from harness.compare import Gate, Status, Verdict, exit_code


def verdict(status: Status, **fields: object) -> Verdict:
    return Verdict("codec", "speech", "tensor", status, "said so", elements=3, **fields)


PASS, FAIL, UNJUDGED = (verdict(status) for status in Status)


def test_a_gate_passes_at_its_limit_and_fails_above_it() -> None:
    assert Gate("max abs", 1e-5, 1e-5).passed
    assert not Gate("max abs", 1.1e-5, 1e-5).passed


def test_a_nan_never_passes_a_gate() -> None:
    assert not Gate("max abs", math.nan, 1e300).passed
    assert not Gate("max abs", math.nan, math.inf).passed


def test_headroom_is_the_share_of_the_allowance() -> None:
    assert Gate("rms", 2e-6, 1e-5).headroom_used == pytest.approx(0.2)
    assert Gate("codes", 0, 0).headroom_used == 0
    assert Gate("codes", 1, 0).headroom_used == math.inf


@pytest.mark.parametrize("allowed", [-1e-9, math.nan])
def test_a_gate_must_allow_zero_or_more(allowed: float) -> None:
    with pytest.raises(ValueError, match="'rms' allows"):
        Gate("rms", 0.0, allowed)


def test_a_pass_must_have_compared_something() -> None:
    with pytest.raises(ValueError, match="codec, speech: a pass must have compared something"):
        Verdict("codec", "speech", "tensor", Status.PASS, "fine")


def test_a_pass_must_have_passed_its_gates() -> None:
    with pytest.raises(ValueError, match="failed gates: rms"):
        verdict(Status.PASS, gates=(Gate("max abs", 0, 1), Gate("rms", 2, 1)))


def test_a_verdict_shows_its_tightest_gate() -> None:
    gates = (Gate("max abs", 1, 4), Gate("rms", 3, 4), Gate("gain", 2, 4))
    assert verdict(Status.PASS, gates=gates).headroom_used == 0.75
    assert math.isnan(verdict(Status.FAIL, gates=(*gates, Gate("x", math.nan, 1))).headroom_used)


def test_status_is_its_word() -> None:
    assert f"{Status.PASS} {Status.FAIL} {Status.UNJUDGED}" == "pass fail unjudged"


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([PASS, PASS], 0),
        ([PASS, FAIL], 1),
        ([FAIL, UNJUDGED], 1),
        ([PASS, UNJUDGED], 2),
        ([], 2),
    ],
)
def test_exit_code(verdicts: list[Verdict], code: int) -> None:
    assert exit_code(verdicts) == code


def test_a_gate_that_uses_more_than_80_percent_is_near() -> None:
    gates = (Gate("a", 0.81, 1.0), Gate("b", 0.8, 1.0), Gate("c", 1, 1, "LSB"), Gate("d", 2, 1))
    verdict = Verdict("codec", "case", "tensor", Status.FAIL, "", gates=gates)
    assert [gate.name for gate in verdict.near_gates] == ["a"]
