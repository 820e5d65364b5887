"""What programs compute is pinned, and what a green run would be blessed as waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from fixtures.exports import Line
from fixtures.machine import FAULT, measured
from harness.cli import golden
from harness.compare import Status, Verdict
from harness.fingerprint import KernelFault
from harness.golden import pins
from harness.golden.waiting import list_waiting
from harness.parity.blessing import bless_golden, bless_pins, keep_waiting
from harness.parity.check import Checked
from harness.parity.judges.pins import EXPECTED, find_outputs, judge_computed, outputs_of
from harness.parity.observation import Observation

REASON = "a reason of some length"
GREEN = (Verdict("codec", "speech", "waveform", Status.PASS, "equal", elements=1),)


@pytest.fixture(scope="module")
def checked(tiny_line: Line) -> Checked:
    return Checked(
        tiny_line.plan, tiny_line.evidence, tiny_line.artifacts, tiny_line.observation, GREEN
    )


def damaged(observation: Observation, method: str, label: str, change: Any) -> Observation:
    """The same, with one case's outputs changed."""
    cases = {name: dict(own) for name, own in observation.cases.items()}
    here = cases[method][label]
    outputs = tuple(change(output.copy()) for output in here.outputs)
    cases[method][label] = dataclasses.replace(here, outputs=outputs)
    return dataclasses.replace(observation, cases=cases)


SOON = {"fp32", "bf16-4w8w"}


@pytest.mark.parametrize(
    "precision",
    [
        pytest.param(name, marks=() if name in SOON else pytest.mark.slow)
        for name in pins.OUTPUT_DRIFT
    ],
)
def test_programs_as_they_are_pass(precision: str, parity_in: Callable[[str], Line]) -> None:
    line = parity_in(precision)
    plan, seen = dataclasses.replace(line.plan, speaks=False), line.observation
    kept = find_outputs(plan, seen.executor)
    assert kept is not None
    verdicts = judge_computed(plan, line.evidence, seen, kept)
    assert {verdict.status for verdict in verdicts} == {Status.PASS}
    subjects = [verdict.subject for verdict in verdicts]
    assert subjects == (["codec"] if precision == "bf16-4w8w" else list(plan.methods))
    assert {verdict.case for verdict in verdicts} == {"outputs, pinned"}


def test_they_exist_where_they_are_expected(tiny_line: Line) -> None:
    for name in EXPECTED:
        facts = dataclasses.replace(tiny_line.plan.checkpoint, name=name)
        for precision in pins.OUTPUT_DRIFT:
            kept = pins.read(Path(__file__).parents[2] / "golden", name, precision, "exact-f32")
            assert kept is not None, (name, precision)
            assert kept.checkpoint == facts.name


def one_element(output: np.ndarray) -> np.ndarray:
    flat = output.reshape(-1)
    flat[flat.size // 2] += 0.05 * np.abs(flat).max()
    return output


@pytest.mark.parametrize(
    "change", [one_element, lambda y: y * np.float32(1.00001), lambda y: y[..., ::-1]]
)
@pytest.mark.parametrize("method", ["token_embedding", "predict_velocity", "codec"])
def test_outputs_that_moved_are_red(method: str, change: Any, tiny_line: Line) -> None:
    label = tiny_line.evidence.cases[method][-1].case.label
    seen = damaged(tiny_line.observation, method, label, change)
    kept = outputs_of(tiny_line.plan, tiny_line.evidence, tiny_line.observation)
    verdicts = judge_computed(tiny_line.plan, tiny_line.evidence, seen, kept)
    red = [verdict for verdict in verdicts if verdict.status is Status.FAIL]
    assert [verdict.subject for verdict in red] == [method]
    assert label in red[0].summary


def test_missing_ones_are_unjudged_where_they_are_expected(tiny_line: Line) -> None:
    (verdict,) = judge_computed(tiny_line.plan, tiny_line.evidence, tiny_line.observation, None)
    assert verdict.status is Status.UNJUDGED
    assert "golden bless --checkpoint tiny --precision fp32" in verdict.summary


@pytest.mark.parametrize(
    "change", [{"codec_form": "unfold"}, {"without": ("copy-broadcast",)}, {"usual": False}]
)
def test_unusual_programs_are_not_judged(tiny_line: Line, change: dict[str, Any]) -> None:
    plan = dataclasses.replace(tiny_line.plan, **change)
    assert find_outputs(plan, tiny_line.observation.executor) is None
    assert judge_computed(plan, tiny_line.evidence, tiny_line.observation, None) == []


def test_a_green_run_waits_until_it_is_blessed(checked: Checked, tmp_path: Path) -> None:
    names = ["outputs/tiny/fp32/exact-f32.json", "pinned/tiny-fp32.json",
             "tiny/codec/fp32/exact-f32.json"]  # fmt: skip
    keep_waiting(checked, tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in list_waiting(tmp_path)] == names
    bless_golden(checked, REASON, tmp_path)
    bless_pins(checked, REASON, tmp_path)
    assert list_waiting(tmp_path) == []
    assert keep_waiting(checked, tmp_path) == []


def test_what_waits_for_a_golden_that_holds_again_is_removed(
    checked: Checked, tmp_path: Path
) -> None:
    bless_golden(checked, REASON, tmp_path)
    bless_pins(checked, REASON, tmp_path)
    label = checked.evidence.cases["codec"][-1].case.label
    seen = damaged(checked.observation, "codec", label, one_element)
    (waiting,) = keep_waiting(dataclasses.replace(checked, observation=seen), tmp_path)
    assert waiting.name == "exact-f32.json.new"
    assert keep_waiting(checked, tmp_path) == []
    assert not waiting.exists()


def test_a_run_that_is_not_green_lets_nothing_wait(checked: Checked, tmp_path: Path) -> None:
    red = (*GREEN, Verdict("codec", "random", "tensor", Status.FAIL, "differs"))
    assert keep_waiting(dataclasses.replace(checked, verdicts=red), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("faults", "code"), [((), 1), ((FAULT,), 2)])
def test_what_moved_on_a_wrong_kernel_is_no_mismatch_of_golden_check(
    faults: tuple[KernelFault, ...], code: int, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = damaged(checked.observation, "codec", "speech", lambda output: output * 0.9)
    executor = dataclasses.replace(seen.executor, measured=measured(*faults))
    seen = dataclasses.replace(seen, executor=executor)
    told = dataclasses.replace(checked, observation=seen)
    monkeypatch.setattr(golden, "_checked", lambda *given: told)
    monkeypatch.setattr("harness.parity.blessing.keep_waiting", lambda checked: [])
    with pytest.raises(typer.Exit) as ended:
        golden.golden_check()
    assert ended.value.exit_code == code
