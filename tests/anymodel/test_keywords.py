"""Keyword arguments: each goes to its own input, in whatever order a call gives them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fixtures.models import judged, some, troubles
from harness.anymodel import Call, Model
from harness.anymodel.recording import record
from harness.anymodel.tracing import trace
from harness.errors import InputError


class Apart(nn.Module):
    def forward(self, x: Tensor, *, a: Tensor, b: Tensor) -> Tensor:
        return x + a - 2 * b


def test_keywords_have_any_order() -> None:
    x, a, b = some(2, 4), some(2, 4) + 1, some(2, 4) * 3
    other = Call(x, b=a, a=b)
    program = torch.export.export(Apart(), (x,), {"a": a, "b": b})
    for module in (program, Apart()):
        found = judged(Model(module, (x,), {"b": b, "a": a}, examples=[other, Call(x, a=b, b=a)]))
        assert troubles(found) == []
    recorded = record(trace(Model(program, (x,), {"b": b, "a": a})))
    assert np.array_equal(recorded.cases[0].eager[0][0], Apart()(x, a=a, b=b))
    assert np.array_equal(recorded.cases[0].inputs[0][1], a)
    assert np.allclose(recorded.cases[0].exact[0][0], Apart()(x, a=a, b=b))
    with pytest.raises(InputError, match="must have the arguments of the export"):
        trace(Model(program, (x, a), {"b": b}))
