"""What a module returns, as the tensors that are compared."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.anymodel import Call, Model
from harness.anymodel.flat import Flat
from harness.anymodel.recording import record
from harness.anymodel.tracing import trace
from harness.errors import InputError

Pair = namedtuple("Pair", "first second")


@dataclass
class Output:
    hidden: Tensor


class Of(nn.Module):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(x)


X = torch.ones(2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: (x * 2, Output(x + 1)),
        lambda x: {"a": x * 2, "b": [SimpleNamespace(hidden=x)]},
        lambda x: (x * 2, {1, 2}),
    ],
)
def test_an_object_that_torch_does_not_know_is_refused(make: Any) -> None:
    with pytest.raises(InputError, match=r"^the module returns a \S+, which torch does not know"):
        record(trace(Model(Of(make), (X,))))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda x: x, [""]),
        (lambda x: {"a": x, "b": (x + 1, None, [x.sum()])}, ["a", "b.0", "b.2.0"]),
        (lambda x: Pair(x, OrderedDict(c=x)), ["first", "second.c"]),
        (lambda x: torch.topk(x, 2), ["0", "1"]),
        (lambda x: (x, None, 3, 2.5, 1j, True, "text", x.dtype, x.device), ["0"]),
        (lambda x: (x, x.shape, x.shape[0], x.numel()), ["0"]),
    ],
)
def test_what_holds_no_tensor_is_left_out(make: Any, names: list[str]) -> None:
    traced = trace(Model(Of(make), (X,), dynamic_shapes={"x": {0: torch.export.Dim("n")}}))
    assert [name for name, _ in Flat(Of(make), Call(X)).named((X,))] == names
    assert len(record(traced).cases[0].eager[0]) == len(names)
