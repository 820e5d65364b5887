"""Matrix and triangulation hold all that a run found: control, machine, what did not run."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest

from fixtures.exports import Line
from harness.budget import COMMITTED
from harness.compare import Status, Verdict, exit_code
from harness.export.control import control_template
from harness.fingerprint import KernelFault, Regime
from harness.parity import matrix
from harness.parity.check import Checked
from harness.parity.control import observe_control
from harness.parity.judge import judge
from harness.parity.judges.golden import find_golden
from harness.parity.judges.lowerings import judge_lowerings
from harness.parity.judges.pins import find_pins
from harness.parity.observation import By, CaseObservation, Observation, Refusal
from harness.parity.request import Request
from harness.runtime.portable import PortableExecutor

METHOD = "predict_velocity"
FAULT = KernelFault("matrix", "float32", "M = 9", "7 at (0, 3), expected 5")


def halved(line: Line) -> Observation:
    """What was seen, with half of one method's outputs, on a machine with a wrong kernel."""
    seen = line.observation
    regime = Regime("exact-f32", {}, 132, (FAULT,))
    cases = {
        label: CaseObservation(tuple(y / 2 for y in case.outputs))
        for label, case in seen.cases[METHOD].items()
    }
    executor = dataclasses.replace(seen.executor, measured=regime)
    return dataclasses.replace(seen, executor=executor, cases={**seen.cases, METHOD: cases})


def cells_of(
    line: Line, seen: Observation, monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[str, str], matrix.Cell]:
    """The matrix of one precision whose run saw this."""
    golden = find_golden(line.plan, seen.executor)
    verdicts = judge(
        line.plan, line.evidence, line.artifacts, seen,
        golden=golden, pins=find_pins(line.plan),
    )  # fmt: skip
    mlx = Checked(line.plan, line.evidence, line.artifacts, seen, verdicts)
    monkeypatch.setattr(matrix, "open_models", lambda *_: None)
    monkeypatch.setattr(matrix, "check", lambda *_, **__: mlx)
    monkeypatch.setattr(matrix, "second_lowering", lambda *_: mlx)
    return {(cell.method, cell.column): cell for cell in matrix.cells(Request(), ["fp32"])}


def test_a_wrong_control_is_in_each_cell_of_mlx(
    tiny_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = observe_control(control_template(), PortableExecutor)
    right = dataclasses.replace(tiny_line.observation, control=control)
    found = cells_of(tiny_line, right, monkeypatch)
    assert {cell.status for at, cell in found.items() if at[1] == "MLX"} == {Status.PASS}
    assert control.output is not None
    other = dataclasses.replace(control, output=control.output + 1)
    wrong = dataclasses.replace(tiny_line.observation, control=other)
    found = cells_of(tiny_line, wrong, monkeypatch)
    assert {cell.status for at, cell in found.items() if at[1] == "MLX"} == {Status.FAIL}


def test_a_checkpoint_that_changed_is_in_each_cell_of_mlx(
    tiny_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Verdict("speech", "eager, pinned", "golden", Status.FAIL, "the checkpoint changed")
    walk: Any = importlib.import_module("harness.parity.judge")
    monkeypatch.setattr(walk, "judge_pins", lambda *_: [told])
    found = cells_of(tiny_line, tiny_line.observation, monkeypatch)
    assert {cell.status for at, cell in found.items() if at[1] == "MLX"} == {Status.FAIL}


def test_a_file_that_changed_is_in_the_cells_of_its_methods(
    tiny_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tiny_line.artifacts.files
    changed = dataclasses.replace(files["codec_decoder.pte"], sha256="0" * 64)
    line: Any = dataclasses.make_dataclass("Other", ["plan", "evidence", "artifacts"])(
        tiny_line.plan,
        tiny_line.evidence,
        dataclasses.replace(tiny_line.artifacts, files={**files, "codec_decoder.pte": changed}),
    )
    found = cells_of(line, tiny_line.observation, monkeypatch)
    red = {at[0] for at, cell in found.items() if at[1] == "MLX" and cell.status is Status.FAIL}
    assert red == {"codec"}


def test_what_fails_on_a_wrong_kernel_is_no_mismatch_of_a_cell(
    tiny_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cells_of(tiny_line, halved(tiny_line), monkeypatch)
    cell = found[METHOD, "MLX"]
    assert cell.status is Status.UNJUDGED
    assert any(verdict.subject == "machine" for verdict in cell.verdicts)


def test_triangulation_on_a_wrong_kernel_blames_no_lowering(
    tiny_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, seen = tiny_line, halved(tiny_line)
    walk: Any = importlib.import_module("harness.parity.check")  # the package has a function of it
    monkeypatch.setattr(walk, "export", lambda *_, **__: line.artifacts)
    monkeypatch.setattr(walk, "observe", lambda *_, **__: line.observation)
    models: Any = None

    def found(seen: Observation) -> int:
        checked = Checked(line.plan, line.evidence, line.artifacts, seen, ())
        return exit_code(walk.second_lowering(checked, models, print).verdicts)

    assert found(line.observation) == 0
    assert found(seen) == 2
    sound = dataclasses.replace(seen, executor=line.observation.executor)
    assert found(sound) == 1


@pytest.mark.parametrize("absent", [False, True])
def test_cases_that_xnnpack_did_not_run_leave_agreement_unjudged(
    absent: bool, tiny_line: Line
) -> None:
    plan, artifacts, seen = tiny_line.plan, tiny_line.artifacts, tiny_line.observation
    (method,) = [method for method in plan.selected if method.name == METHOD]
    first, *others = seen.cases[METHOD]
    late = CaseObservation(refusal=Refusal(By.HARNESS, "time-out"))
    some = dict.fromkeys(others, late) if not absent else {}
    cases = {**seen.cases, METHOD: {first: seen.cases[METHOD][first], **some}}
    other = dataclasses.replace(seen, cases=cases)
    verdict = judge_lowerings(
        method,
        tiny_line.evidence,
        (plan, artifacts, seen),
        (dataclasses.replace(plan, lowering="xnnpack"), artifacts, other),
        COMMITTED,
    )
    assert verdict.status is Status.UNJUDGED
    assert all(label in verdict.summary for label in others)
