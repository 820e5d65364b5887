"""Keyword arguments: each goes to its own input, in whatever order a call gives them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fixtures.models import judged, some, troubles
from harness.anymodel import Call, Model
from harness.anymodel.recording import record
from harness.anymodel.tracing import trace
from harness.errors import InputError
from harness.export.lower import lower_to_mlx


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


class Nested(nn.Module):
    def forward(self, x: Tensor, *, a: dict[str, Tensor], b: Tensor) -> Tensor:
        return x + a["first"] - 2 * b


class Swapped(Apart):
    def forward(self, x: Tensor, *, a: Tensor, b: Tensor) -> Tensor:
        return super().forward(x, a=b, b=a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("module", "exported", "order"), [(Apart(), "ab", "ba"), (Nested(), "ba", "ab")]
)
def test_a_file_gets_keywords_in_the_order_of_its_inputs(
    module: nn.Module, exported: str, order: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    x, a, b = (values.to(dtype) for values in (some(2, 4), some(2, 4) + 1, some(2, 4) * 3))
    given = {"a": {"first": a} if isinstance(module, Nested) else a, "b": b}
    program = torch.export.export(module, (x,), {name: given[name] for name in exported})
    path = tmp_path / "model.pte"
    lower_to_mlx({"forward": program}, {}, path)
    model = Model(module, (x,), {name: given[name] for name in order}, pte=path)
    assert troubles(judged(model)) == []
    if isinstance(module, Apart):  # a file that takes one for the other is red
        assert judged(dataclasses.replace(model, module=Swapped())).exit_code == 1
