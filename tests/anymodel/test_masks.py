"""Elements that do not matter, and masks among those that do."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from fixtures.models import STOCK, judged, some, troubles, verdict
from harness.anymodel import Call, Ignored, Model
from harness.compare import Status
from harness.errors import InputError


def test_a_mask_of_logits_hides_no_wrong_sort() -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            ordered = torch.sort(x, descending=True)[0]
            return ordered.masked_fill(mask, torch.finfo(x.dtype).min)

    model = Model(Masked(), (some(2, 8), torch.arange(16).reshape(2, 8) % 8 == 0))
    assert troubles(judged(model)) == []
    found = judged(model, **STOCK)
    assert verdict(found, "in float64").status is Status.FAIL
    assert verdict(found, "example").status is Status.FAIL


class Padded(nn.Module):
    """The stock lowering sorts the other way: only the first column is right."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1] * 2, torch.sort(x, descending=True)[0]], -1)


def test_elements_that_do_not_matter_are_left_out_and_told() -> None:
    mask = torch.tensor([[False, True, True, True, True]])
    model = Model(Padded(), (some(3, 4),), ignored=[Ignored(mask, "the sort is known to be wrong")])
    found = judged(model, **STOCK)
    assert troubles(found) == []
    notes = verdict(found, "example").notes
    assert notes == ("12 elements were not compared: the sort is known to be wrong.",)
    assert (
        verdict(judged(dataclasses.replace(model, ignored=()), **STOCK), "example").status
        is Status.FAIL
    )


def test_a_mask_may_come_from_the_call() -> None:
    def where(call: Call) -> Tensor:
        return torch.arange(5)[None] >= call.args[0].shape[0] - 2

    model = Model(Padded(), (some(3, 4),), ignored=[Ignored(where, "rows tell")])
    assert troubles(judged(model, **STOCK)) == []


def test_no_reason_is_no_mask() -> None:
    with pytest.raises(InputError, match="needs a reason"):
        Ignored(torch.ones(1, dtype=torch.bool), " ")
