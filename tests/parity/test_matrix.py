"""Matrix and triangulation hold all that a run found: control, machine, what did not run."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest

from fixtures.exports import Line
from fixtures.machine import FAULT, measured
from harness.budget import COMMITTED
from harness.compare import Status, Verdict, exit_code
from harness.export.control import control_template
from harness.golden import pins
from harness.methods import METHODS
from harness.parity import matrix
from harness.parity.artifacts import Artifacts
from harness.parity.check import Checked, judged, second_lowering
from harness.parity.control import observe_control
from harness.parity.judges.lowerings import judge_lowerings
from harness.parity.observation import By, CaseObservation, Observation, Refusal
from harness.parity.plan import Plan
from harness.parity.request import Request
from harness.runtime.portable import PortableExecutor

pytestmark = pytest.mark.parametrize(
    "line", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)], indirect=True
)

METHOD = "predict_velocity"


def halved(line: Line) -> Observation:
    """What was seen, with half of one method's outputs, on a machine with a wrong kernel."""
    seen = line.observation
    cases = {
        label: CaseObservation(tuple(y / 2 for y in case.outputs))
        for label, case in seen.cases[METHOD].items()
    }
    executor = dataclasses.replace(seen.executor, measured=measured(FAULT))
    return dataclasses.replace(seen, executor=executor, cases={**seen.cases, METHOD: cases})


def stand_in(
    line: Line, monkeypatch: pytest.MonkeyPatch, artifacts: Artifacts | None = None
) -> None:
    """The programs on MLX stand in for those on XNNPACK, and so does what came of them."""
    walk: Any = importlib.import_module("harness.parity.check")  # the package has a function of it
    monkeypatch.setattr(Plan, "on_xnnpack", lambda plan: dataclasses.replace(plan, speaks=False))
    monkeypatch.setattr(walk, "export", lambda *_, **__: artifacts or line.artifacts)
    monkeypatch.setattr(walk, "observe", lambda *_, **__: line.observation)


def changed(artifacts: Artifacts) -> Artifacts:
    """With another file of the codec than was exported."""
    files = artifacts.files
    codec = dataclasses.replace(files["codec_decoder.pte"], sha256="0" * 64)
    return dataclasses.replace(artifacts, files={**files, "codec_decoder.pte": codec})


def cells_of(
    line: Line,
    seen: Observation,
    monkeypatch: pytest.MonkeyPatch,
    second: Artifacts | None = None,
) -> dict[tuple[str, str], matrix.Cell]:
    """The matrix of one precision whose run saw this; `second` are the files of XNNPACK."""
    plan = dataclasses.replace(line.plan, speaks=False)  # as the matrix asks
    mlx = judged(plan, line.evidence, line.artifacts, seen)
    monkeypatch.setattr(matrix, "open_models", lambda *_: None)
    monkeypatch.setattr(matrix, "check", lambda *_, **__: mlx)
    stand_in(line, monkeypatch, second)
    found = matrix.cells(Request(), [line.plan.precision.name])
    return {(cell.method, cell.column): cell for cell in found}


def column(found: dict[tuple[str, str], matrix.Cell], name: str) -> set[Status]:
    return {cell.status for at, cell in found.items() if at[1] == name}


def test_a_wrong_control_is_in_each_cell_of_mlx(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = observe_control(control_template(), PortableExecutor)
    right = dataclasses.replace(line.observation, control=control)
    found = cells_of(line, right, monkeypatch)
    assert column(found, "MLX") == {Status.PASS}
    assert control.output is not None
    other = dataclasses.replace(control, output=control.output + 1)
    wrong = dataclasses.replace(line.observation, control=other)
    found = cells_of(line, wrong, monkeypatch)
    assert column(found, "MLX") == {Status.FAIL}


def test_a_checkpoint_that_changed_is_in_each_cell_of_both_lowerings(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Verdict("speech", pins.CASE, "golden", Status.FAIL, "the checkpoint changed")
    walk: Any = importlib.import_module("harness.parity.judge")
    monkeypatch.setattr(walk, "judge_pins", lambda *_: [told])
    found = cells_of(line, line.observation, monkeypatch)
    assert column(found, "MLX") == column(found, "XNNPACK") == {Status.FAIL}


def test_a_file_that_changed_is_in_the_cells_of_its_methods(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Line(line.request)
    names = ("plan", "evidence", "observation")
    vars(other).update({name: getattr(line, name) for name in names})
    vars(other)["artifacts"] = changed(line.artifacts)
    found = cells_of(other, line.observation, monkeypatch, line.artifacts)
    red = {at for at, cell in found.items() if cell.status is Status.FAIL}
    assert red == {("codec", "MLX")}


def test_a_file_of_xnnpack_that_changed_is_in_the_cells_of_its_methods(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cells_of(line, line.observation, monkeypatch, changed(line.artifacts))
    red = {at for at, cell in found.items() if cell.status is Status.FAIL}
    assert red == {("codec", "XNNPACK")}


def test_a_verdict_in_several_cells_is_counted_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = observe_control(control_template(), PortableExecutor)
    seen = dataclasses.replace(line.observation, control=control)
    found = cells_of(line, seen, monkeypatch).values()
    told = matrix.distinct(found)
    assert len(told) < sum(len(cell.verdicts) for cell in found)
    kinds = [verdict.kind for verdict in told]
    assert kinds.count("control") == 1
    assert kinds.count("metadata") == 4  # two files of each lowering
    pinned = [verdict.subject for verdict in told if verdict.case == pins.CASE]
    assert len(pinned) == len(set(pinned)) == len(METHODS) + 1


def test_what_fails_on_a_wrong_kernel_is_no_mismatch_of_a_cell(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cells_of(line, halved(line), monkeypatch)
    cell = found[METHOD, "MLX"]
    assert cell.status is Status.UNJUDGED
    assert any(verdict.subject == "machine" for verdict in cell.verdicts)


def test_triangulation_on_a_wrong_kernel_blames_no_lowering(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = halved(line)
    stand_in(line, monkeypatch)
    models: Any = None

    def found(seen: Observation) -> int:
        checked = Checked(line.plan, line.evidence, line.artifacts, seen, ())
        return exit_code(second_lowering(checked, models, print).verdicts)

    assert found(line.observation) == 0
    assert found(seen) == 2
    sound = dataclasses.replace(seen, executor=line.observation.executor)
    assert found(sound) == 1


@pytest.mark.parametrize("absent", [False, True])
def test_cases_that_xnnpack_did_not_run_leave_agreement_unjudged(absent: bool, line: Line) -> None:
    plan, artifacts, seen = line.plan, line.artifacts, line.observation
    (method,) = [method for method in plan.selected if method.name == METHOD]
    first, *others = seen.cases[METHOD]
    late = CaseObservation(refusal=Refusal(By.HARNESS, "time-out"))
    some = dict.fromkeys(others, late) if not absent else {}
    cases = {**seen.cases, METHOD: {first: seen.cases[METHOD][first], **some}}
    other = dataclasses.replace(seen, cases=cases)
    verdict = judge_lowerings(
        method,
        line.evidence,
        (plan, artifacts, seen),
        (dataclasses.replace(plan, lowering="xnnpack"), artifacts, other),
        COMMITTED,
    )
    assert verdict.status is Status.UNJUDGED
    assert all(label in verdict.summary for label in others)
