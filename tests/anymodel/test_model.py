"""What users give beside a module: taken, or refused in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.anymodel import Call, Ignored, as_model
from harness.anymodel import Model as OfTheseTypes
from harness.anymodel.recording import record
from harness.anymodel.tracing import trace
from harness.errors import InputError

Model: Any = OfTheseTypes  # users have no type checker, perhaps

X = torch.ones(2, 3)
NONE = torch.zeros(2, 3, dtype=torch.bool)


class Doubled(nn.Module):
    def forward(self, x: Tensor, more: Any = None) -> Tensor:
        return x * 2


@dataclass
class Setting:
    """Compares its arrays, whose truth is ambiguous."""

    values: Any


def lost(call: Call) -> Any:
    return call.kwargs["mask"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Model(Doubled(), (X,), [1]), "kwargs must be a dict of arguments by name"),
        (lambda: Model(Doubled(), (X,), calls=Call(X)), "calls must be a list of calls .got Call."),
        (lambda: Model(Doubled(), (X,), examples=None), "examples must be a list of calls"),
        (lambda: Model(Doubled(), (X,), examples=X), "examples must be a list of calls"),
        (lambda: Model(Doubled(), (X,), examples=[(X,), []]), "an example must be a call, or"),
        (lambda: Model(Doubled(), (X,), ignored=NONE), "ignored must be a list of Ignored"),
        (lambda: Model(Doubled(), (X,), ignored=[NONE]), "ignored must be a list of Ignored"),
        (lambda: Model(Doubled(), (X,), ignored=[Ignored(NONE, "x", *"y")]), "must be a number"),
        (lambda: Ignored(0, lost, "padding"), "Ignored.reason must be a text .got function"),
        (lambda: Model(Doubled(), (X,), {1: X}), "kwargs must have names as keys .got 1."),
        (lambda: Model(Doubled(), (X,), name=3), "name must be a text .got int"),
        (lambda: Model(Doubled(), (X,), pte=3), "pte must be the path of a file .got int"),
        (lambda: Model(Doubled(), (X,), {"self": X}), "Doubled itself fails: TypeError"),
        (lambda: Model(Doubled(), (X,), ignored=[Ignored(lost, "x")]), "where itself fails: KeyE"),
        (lambda: Model(Doubled(), (X, np.ones(3))), "numpy array, .* pass torch.from_numpy"),
        (
            lambda: Model(Doubled(), (X, X), examples=[(X, np.ones(3))]),
            "call 0 of case 1 has array.* where the example call has a tensor",
        ),
        (
            lambda: Model(Doubled(), (X, Setting(np.ones(2))), calls=[(X, Setting(np.ones(2)))]),
            "call 1 of case 0 has Setting.* where the example call has Setting",
        ),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(make: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        record(trace(make()))


def test_no_keywords_may_be_none() -> None:
    model = as_model((Doubled(), (X,), None))
    assert record(trace(model)).captured == (0.0, 0.0)


def test_one_mask_needs_no_list() -> None:
    recorded = record(trace(Model(Doubled(), (X,), ignored=Ignored(NONE, "nothing"))))
    assert recorded.cases[0].masks[0][0] is not None


@pytest.mark.parametrize("constant", [math.nan, "text", None])
def test_any_constant_is_the_same_in_each_call(constant: Any) -> None:
    made = trace(Model(Doubled(), (X, constant), examples=[(X + 1, constant)]))
    assert [len(call) for case in made.cases for call in case] == [1, 1]
