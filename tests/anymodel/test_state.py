"""State in buffers is judged by the outputs of a second call, or is told to be unjudged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.anymodel import Judged, Model, Options, judge_model
from harness.anymodel.state import unseen
from harness.anymodel.tracing import trace
from harness.compare import Status

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))


class Sums(nn.Module):
    """Only the second output shows what the first call left."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("kept", torch.full((2, 8), start))

    def forward(self, x: Tensor) -> Tensor:
        made = x + self.kept
        self.kept.copy_(self.kept + torch.sort(x, descending=True)[0])
        return made


class Late(Sums):
    """The first call shows nothing of where the buffer begins."""

    def forward(self, x: Tensor) -> Tensor:
        made = torch.where(self.kept > 5, self.kept, x)
        self.kept.add_(3)
        return made


class Hidden(Sums):
    def forward(self, x: Tensor) -> Tensor:
        self.kept[:, 0:4] = x[:, 4:]
        return x + 1


class Full(Sums):
    """Takes no second call."""

    def forward(self, x: Tensor) -> Tensor:
        self.kept.add_(x)
        return self.kept * 2


def troubles(found: Judged) -> dict[str, Status]:
    return {v.case: v.status for v in found.verdicts if v.status is not Status.PASS}


def judged(module: Any, **options: Any) -> dict[str, Status]:
    return troubles(judge_model(Model(module, (X,)), Options(executor="portable", **options)))


def test_what_a_call_leaves_is_seen_in_the_next() -> None:
    assert judged(Sums()) == {}
    found = judged(Sums(), without=("descending",))
    assert found["in float64"] is found["example"] is Status.FAIL


def test_a_buffer_that_begins_elsewhere_is_red_late() -> None:
    assert judged(Late(4.0))["example"] is Status.FAIL


def test_state_that_no_output_shows_is_not_judged() -> None:
    assert judged(Hidden()) == {"state": Status.UNJUDGED}


def test_a_call_is_repeated_only_where_state_needs_it() -> None:
    def calls(model: Model) -> list[int]:
        return [len(case) for case in trace(model).cases]

    assert calls(Model(Sums(), (X,))) == [2]
    assert calls(Model(Sums(), (X,), examples=[(X,)])) == [2, 1]
    assert calls(Model(Sums(), (X,), examples=[[(X,), (X,)]])) == [1, 2]
    assert calls(Model(nn.BatchNorm1d(8), (X,))) == [1]
    assert calls(Model(torch.export.export(Sums(), (X,)), (X,))) == [2]


def test_a_call_that_cannot_be_repeated_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(self: Full, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and self.kept.any():
            raise IndexError("full")
        return forward(self, x)

    forward = Full.forward
    monkeypatch.setattr(Full, "forward", once)
    assert [len(case) for case in trace(Model(Full(), (X,))).cases] == [1]


def test_state_shows_through_other_state() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("first", "second", "count"):
                self.register_buffer(name, torch.zeros(2, 8))

        def forward(self, x: Tensor) -> Tensor:
            made = x + self.second
            self.second.copy_(self.first * 2)
            self.first.copy_(x)
            self.count.add_(1)
            return made

    assert unseen(torch.export.export(Chain(), (X,))) == ("count",)
