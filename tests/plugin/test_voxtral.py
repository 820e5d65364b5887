"""Voxtral's methods through the plugin are judged as `check` judges them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from fixtures.machine import FAULT, measured
from harness.compare import Status, exit_code
from harness.parity.judge import judge
from harness.parity.judges.golden import find_golden
from harness.parity.judges.pins import find_pins
from harness.parity.observation import CaseObservation, Observation
from harness.plugin import voxtral
from harness.plugin.options import Chosen
from harness.plugin.session import Found, Session
from harness.report import Report, from_json, to_json

METHOD = "predict_velocity"


@pytest.fixture
def judged(tiny_line: Line, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The report on a method whose run saw this; the control is run."""
    seen = tiny_line.observation

    def report(name: str = METHOD, **changes: Any) -> Report:
        made = dataclasses.replace(seen, **changes)
        pair = voxtral.ArtifactPair
        monkeypatch.setattr(pair, "measured", made.executor)
        monkeypatch.setattr(voxtral, "observe", lambda *_: made)
        monkeypatch.setattr(voxtral, "observe_exact", lambda *_: made.exact)
        return voxtral.Voxtral(Chosen(executor="portable")).report(name)

    return report


def halved(seen: Observation) -> dict[str, Any]:
    cases = {
        label: CaseObservation(tuple(y / 2 for y in case.outputs))
        for label, case in seen.cases[METHOD].items()
    }
    return {"cases": {**seen.cases, METHOD: cases}}


@pytest.mark.parametrize("name", [METHOD, "codec"])
def test_verdicts_are_those_of_check(name: str, tiny_line: Line, judged: Any) -> None:
    plan = dataclasses.replace(tiny_line.plan, methods=(name,), speaks=False)
    seen = tiny_line.observation
    found = judge(
        plan, tiny_line.evidence, tiny_line.artifacts, seen,
        golden=find_golden(plan, seen.executor), pins=find_pins(plan),
    )  # fmt: skip
    file = "codec_decoder.pte" if name == "codec" else "model.pte"
    mine = {(v.subject, v.case) for v in found if not v.subject.endswith(".pte")}
    mine |= {(file, "metadata"), (file, "file size"), ("delegate", "control")}
    report = judged(name)
    assert {(v.subject, v.case) for v in report.verdicts} == mine
    assert exit_code(report.verdicts) == 0


def test_the_report_of_several_methods_has_each_verdict_once(judged: Any, tmp_path: Path) -> None:
    reports = [to_json(judged(name)) for name in (METHOD, "semantic_head")]
    session = Session(Chosen(report=tmp_path), {"test": Found(reports)})
    path = session.write_report()
    assert path is not None
    cases = [(v.subject, v.case) for v in from_json(path.read_text()).verdicts]
    assert {("model.pte", "metadata"), (METHOD, "speech"), ("semantic_head", "speech")} < {*cases}
    assert cases.count(("model.pte", "metadata")) == 1


def test_a_wrong_kernel_of_the_machine_is_no_mismatch(tiny_line: Line, judged: Any) -> None:
    seen = tiny_line.observation
    assert exit_code(judged(**halved(seen)).verdicts) == 1
    executor = dataclasses.replace(seen.executor, measured=measured(FAULT))
    found = judged(**halved(seen), executor=executor).verdicts
    assert exit_code(found) == 2
    assert found[0].subject == "machine"


def test_a_payload_that_did_not_run_is_not_green(
    judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*arguments: Any) -> Any:
        made = observe(*arguments)
        return dataclasses.replace(made, output=np.zeros_like(made.output))

    observe = voxtral.observe_control
    monkeypatch.setattr(voxtral, "observe_control", other)
    found = judged().verdicts
    assert [v.kind for v in found if v.status is Status.FAIL] == ["control"]
