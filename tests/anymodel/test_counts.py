"""Integers that rounding decides are not judged; wrong ones are red."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fixtures.models import STOCK, judged, some, verdict
from harness.anymodel import Model
from harness.anymodel.counts import judge_counts
from harness.compare import Status
from harness.runtime.portable import kernels


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_wrong_lowering_makes_is_red(dtype: torch.dtype) -> None:
    model = Model(Ordered(), (torch.arange(12.0, dtype=dtype).view(3, 4),))
    assert verdict(judged(model), "example").status is Status.PASS
    assert verdict(judged(model, **STOCK), "example").status is Status.FAIL


class Large(nn.Module):
    """In 16 bits most of its integers are what a sum was rounded to."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(some(64, 64)), scale

    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x @ self.weight * self.scale, descending=True)[0].long()


def test_where_rounding_decides_most_elements_a_wrong_lowering_is_red() -> None:
    model = Model(Large(200.0).bfloat16(), (some(4, 64).bfloat16(),))
    assert judged(model).exit_code != 1
    wrong = verdict(judged(model, **STOCK), "example")
    assert wrong.status is Status.FAIL
    assert "differ where eager's own rounding decides" in wrong.notes[0]


def test_where_rounding_decides_most_of_what_differs_nothing_was_compared() -> None:
    eager, exact = np.arange(4), np.arange(4) + 1
    judge = partial(judge_counts, "model", "example", proved=0)
    assert judge([(eager, eager)], [exact]).status is Status.PASS
    found = judge([(eager + 7, eager)], [exact])
    assert found.status is Status.UNJUDGED
    assert found.summary == "eager's own rounding decides 4 of 4 elements"
    assert "4 elements differ" in found.notes[0]
    exact[0] = 0  # one element that no rounding decides
    assert judge([(eager + 7, eager)], [exact]).status is Status.FAIL
    one_right = eager + np.array([0, 7, 0, 0])
    found = judge([(one_right, eager)], [exact])
    assert found.status is Status.PASS
    assert (found.summary, found.elements) == ("3 elements, all equal", 3)
    assert "1 element differs" in found.notes[0]
    rest_wrong = eager + np.array([0, 7, 7, 7])
    assert judge([(rest_wrong, eager)], [exact]).status is Status.UNJUDGED
    # One that was ignored, and is 0 on all sides, is none that was compared.
    assert judge([(one_right, eager)], [exact], hidden=1).status is Status.UNJUDGED


class Floors(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.floor((nn.functional.elu(x) + x) * 8).to(torch.int32)


def test_a_wrong_kernel_outside_the_delegate_is_no_allowed_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(Floors(), (some(4, 4),), partial=True)
    assert judged(model).exit_code == 0
    right = kernels._called

    def wrong(overload: Any, given: Any) -> list[Any]:
        made = right(overload, given)
        return [y * 3 for y in made] if "elu" in str(overload) else made

    monkeypatch.setattr(kernels, "_called", wrong)
    assert verdict(judged(model), "example").status is Status.FAIL


def test_a_type_that_the_lowering_ignores_is_no_allowed_rounding() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.floor(torch.cumsum(x, -1, dtype=torch.float32) * 4).long()

    model = Model(Sums(), (some(3, 64).bfloat16(),))
    assert judged(model).exit_code == 0
    wrong = verdict(judged(model, without=("cumsum-type",)), "example")
    assert wrong.status is Status.FAIL
    assert wrong.metrics["op"] == "works in bfloat16, meant is float32"
    assert not any("rounding that is allowed" in note for note in wrong.notes)


@pytest.mark.parametrize(("proved", "status"), [(0, "fail"), (1, "fail"), (2, "unjudged")])
def test_each_call_that_differs_must_be_proved(proved: int, status: str) -> None:
    right = np.arange(4)
    wrong = right + np.array([0, 0, 1, 0])
    pairs = [(wrong, right), (wrong, right), (right, right)]
    found = judge_counts("model", "example", pairs, [right] * 3, proved)
    assert found.status == status
    assert found.gates[0].value == 2
