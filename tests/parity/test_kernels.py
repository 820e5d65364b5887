"""Wrong kernels of a machine: unjudged, and no mismatch of the program."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.machine import FAULT, measured
from harness.compare import Gate, Status, Verdict, exit_code
from harness.fingerprint import KernelFault
from harness.methods import METHODS
from harness.parity.judge import judge
from harness.parity.judges.kernels import excused, judge_kernels
from harness.parity.judges.values import refused, unlowered
from harness.parity.observation import By, Refusal

NARROW_FAULT = dataclasses.replace(FAULT, dtype="bfloat16")


def wrong_on(tiny_line, *faults: KernelFault):
    return dataclasses.replace(tiny_line.observation.executor, measured=measured(*faults))


def test_a_fault_is_told_with_its_figures_and_cannot_be_judged(tiny_line) -> None:
    (verdict,) = judge_kernels(["float32"], wrong_on(tiny_line, FAULT, FAULT))
    assert (verdict.subject, verdict.kind, verdict.status) == (
        "machine", "regime", Status.UNJUDGED,
    )  # fmt: skip
    assert "2 kernels" in verdict.summary
    assert "matrix in float32, M = 9: 7 at (0, 3), expected 5" in verdict.summary
    assert exit_code([verdict]) == 2


@pytest.mark.parametrize("faults", [(), (NARROW_FAULT,)])
def test_no_fault_and_one_of_a_type_that_is_not_used_say_nothing(tiny_line, faults) -> None:
    assert judge_kernels(["float32"], wrong_on(tiny_line, *faults)) == []


def failed(kind: str, case: str = "speech", *gates: Gate) -> Verdict:
    return Verdict("codec", case, kind, Status.FAIL, "off", gates=gates)


def test_what_kernels_computed_is_unjudged_beside_a_fault() -> None:
    values = [
        failed("tensor", "speech", Gate("max abs", 2.0, 1.0)), failed("codes"), failed("local"),
        failed("golden", "outputs, pinned"), failed("golden", "golden statistics"),
        refused("codec", "speech", Refusal(By.PROGRAM, "no such row")),
    ]  # fmt: skip
    assert {verdict.status for verdict in excused(values)} == {Status.UNJUDGED}


def test_what_no_kernel_can_have_done_stays_red_beside_a_fault() -> None:
    others = [
        failed("delegation"), failed("exact", "in float64"), failed("tensor"),
        failed("golden", "eager, pinned"), failed("golden", "golden inputs"),
        unlowered(METHODS[0], "no handler", "mlx"),
        refused("codec", "in float64", Refusal(By.PROGRAM, "no such row")),
    ]  # fmt: skip
    assert excused(others) == others


def test_a_whole_run_on_wrong_kernels_exits_with_2(tiny_line) -> None:
    observation = dataclasses.replace(
        tiny_line.observation, executor=wrong_on(tiny_line, FAULT), cases={}
    )
    verdicts = judge(tiny_line.plan, tiny_line.evidence, tiny_line.artifacts, observation)
    assert verdicts[0].subject == "machine"
    assert exit_code(verdicts) == 2
