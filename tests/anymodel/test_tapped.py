"""Any model on an executor that shows nothing but outputs: its wrong step is named all the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fixtures.blind import Blind, louder
from harness.anymodel import Call, Judged, Model, Options, judge_model
from harness.compare import Status
from harness.compare.verdict import Verdict
from harness.localize import taps

torch.manual_seed(0)


class Attending(nn.Module):
    """With a cache of rows, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 8)
        self.register_buffer("rows", torch.zeros(4, 8))

    def forward(self, x: Tensor, position: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.up(x))
        self.rows.index_copy_(0, position, x)
        weights = torch.tanh(x @ self.rows.T)
        return {"weights": weights, "sum": torch.sigmoid(weights @ self.rows)}


CALLS = (
    Call(torch.linspace(-1, 1, 8).reshape(1, 8), torch.tensor([0])),
    Call(torch.linspace(1, -2, 8).reshape(1, 8), torch.tensor([1])),
)


def judged(monkeypatch: pytest.MonkeyPatch, executor: Blind, **options: Any) -> Judged:
    monkeypatch.setattr("harness.anymodel.judged.choose", lambda *given: executor)
    first, second = CALLS
    return judge_model(Model(Attending(), first.args, calls=[second], **options), Options())


def first_red(found: Judged) -> Verdict:
    return next(v for v in found.verdicts if v.status is Status.FAIL)


def test_a_right_executor_is_green(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, Blind({}))
    assert {v.status for v in found.verdicts} == {Status.PASS}
    assert "each step" not in {v.case for v in found.verdicts}


@pytest.mark.parametrize(
    ("kind", "operator"),
    [("TanhNode", "aten.tanh.default"), ("SigmoidNode", "aten.sigmoid.default")],
)
def test_a_wrong_kernel_is_named_and_proved(
    kind: str, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judged(monkeypatch, Blind(louder(kind)))
    told = first_red(found)
    assert told.kind == "tensor"
    assert told.metrics["op"] == kind
    assert told.metrics["operator"] == operator
    assert "test_tapped.py, line" in str(told.metrics["source"])
    assert told.metrics["owner"] == "the executor or its kernel"
    assert told.metrics["proved by replacement"] is True
    (one,) = found.report.findings
    assert "seen through taps" in one.proof


def test_what_vanishes_under_observation_is_found_by_cutting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = judged(monkeypatch, Blind(louder("TanhNode"), most=2))
    told = first_red(found)
    assert told.metrics["op"] == "TanhNode"
    assert "vanishes under observation" in found.report.findings[0].proof


def test_what_cannot_be_tapped_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lower = taps.lower_to_mlx

    def refusing(*given: Any, taps: bool, **options: Any) -> None:
        if taps:
            raise RuntimeError("no such pass")
        lower(*given, taps=taps, **options)

    monkeypatch.setattr(taps, "lower_to_mlx", refusing)
    found = judged(monkeypatch, Blind(louder("SigmoidNode")))
    assert first_red(found).metrics.get("op") == "SigmoidNode", first_red(found).notes
    proof = found.report.findings[0].proof
    assert "cannot be lowered tapped (RuntimeError: no such pass). So the program was cut" in proof
