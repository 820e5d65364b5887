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


class Alike(nn.Module):
    """Inputs of `a` and `a_b` have the same name."""

    def forward(self, x: Tensor, *, a: dict[str, Tensor], a_b: Tensor) -> Tensor:
        return x + a["b"] - 2 * a_b


class Beside(nn.Module):
    """The input of `a_b` has the name of a positional one."""

    def forward(self, a: dict[str, Tensor], *, a_b: Tensor, c: Tensor) -> Tensor:
        return a["b"] + a_b - 2 * c


class Capitals(nn.Module):
    def forward(self, x: Tensor, *, A: Tensor, b: Tensor) -> Tensor:  # noqa: N803
        return x + A - 2 * b


def exported(program: torch.export.ExportedProgram, path: Path) -> Path:
    lower_to_mlx({"forward": program}, {}, path)
    return path


@pytest.mark.parametrize("order", [("a", "a_b"), ("a_b", "a")])
def test_keywords_whose_inputs_are_named_alike_are_refused(
    order: tuple[str, str], tmp_path: Path
) -> None:
    x, given = some(2, 4), {"a": {"b": some(2, 4) + 1}, "a_b": some(2, 4) * 3}
    program = torch.export.export(Alike(), (x,), given)
    path = exported(program, tmp_path / "model.pte")
    model = Model(Alike(), (x,), {name: given[name] for name in order}, pte=path)
    with pytest.raises(InputError, match=r"order of the keywords a, a_b, .* pass the torch.export"):
        judged(model)
    assert troubles(judged(dataclasses.replace(model, module=program))) == []


@pytest.mark.parametrize(
    ("module", "args", "kwargs"),
    [
        (Alike(), (some(2, 4),), {"a_b": some(2, 1) * 3, "a": {"b": some(2, 4) + 1}}),
        (Beside(), ({"b": some(2, 4)},), {"c": some(2, 4) * 3, "a_b": some(2, 4) + 1}),
        (Capitals(), (some(2, 4),), {"b": some(2, 4) * 3, "A": some(2, 4) + 1}),
    ],
)
@pytest.mark.parametrize("step", [1, -1])
def test_what_else_tells_them_apart(
    module: nn.Module, args: tuple[object], kwargs: dict[str, object], step: int, tmp_path: Path
) -> None:
    path = exported(torch.export.export(module, args, kwargs), tmp_path / "model.pte")
    given = dict(list(kwargs.items())[::step])
    assert troubles(judged(Model(module, args, given, pte=path))) == []
