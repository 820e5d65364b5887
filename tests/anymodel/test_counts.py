"""Integers that rounding decides are not judged; wrong ones are red."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fixtures.models import STOCK, judged, verdict
from harness.anymodel import Model
from harness.anymodel.counts import judge_counts
from harness.compare import Status


class Floored(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(x).floor().long()


class Ordered(nn.Module):
    """The stock lowering sorts the other way."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x, descending=True)[0].floor().long()


def test_what_rounding_decides_is_unjudged() -> None:
    found = judged(Model(Floored(), (torch.arange(1.0, 200.0).log(),)))
    assert verdict(found, "in float64").status is Status.PASS
    assert verdict(found, "each step").status is Status.PASS
    example = verdict(found, "example")
    assert example.status is Status.UNJUDGED
    assert "rounding that is allowed decides" in example.notes[-1]
    assert found.exit_code == 2


def test_what_a_wrong_lowering_makes_is_red() -> None:
    model = Model(Ordered(), (torch.arange(12.0).view(3, 4),))
    assert verdict(judged(model), "example").status is Status.PASS
    assert verdict(judged(model, **STOCK), "example").status is Status.FAIL


@pytest.mark.parametrize(("proved", "status"), [(0, "fail"), (1, "fail"), (2, "unjudged")])
def test_each_call_that_differs_must_be_proved(proved: int, status: str) -> None:
    right = np.arange(4)
    wrong = right + np.array([0, 0, 1, 0])
    pairs = [(wrong, right), (wrong, right), (right, right)]
    found = judge_counts("model", "example", pairs, [right] * 3, proved)
    assert found.status == status
    assert found.gates[0].value == 2
