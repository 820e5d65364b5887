"""Programs with numbers beside tensors, in what they take or return: the tensors are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.anymodel import Judged, Model, Options, judge_model
from harness.compare import Status
from harness.errors import InputError


class Beside(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return 3, torch.sort(x, descending=True)[0], None, x.shape[0], x + 1


class Fewer(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return 3, torch.sort(x, descending=True)[0]


X = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, 5.0]])


def exported(module: nn.Module) -> Any:
    return torch.export.export(
        module, (X,), dynamic_shapes=({0: torch.export.Dim("n", min=2, max=9)},)
    )


def judged(model: Model, *without: str) -> Judged:
    return judge_model(model, Options(executor="portable", without=without))


def lowered(module: nn.Module, path: Path) -> Path:
    from harness.export.lower import lower_to_mlx

    lower_to_mlx({"forward": exported(module)}, {}, path)
    return path


@pytest.mark.parametrize("by_file", [False, True])
def test_the_tensors_of_a_right_program_pass(by_file: bool, tmp_path: Path) -> None:
    model = Model(exported(Beside()), (X,))
    if by_file:
        model = Model(Beside(), (X,), pte=lowered(Beside(), tmp_path / "model.pte"))
    found = judged(model)
    assert [f"{v.case}: {v.summary}" for v in found.verdicts if v.status is not Status.PASS] == []


def test_a_wrong_one_names_its_node() -> None:
    found = judged(Model(exported(Beside()), (X,)), "descending")
    assert found.exit_code == 1
    cures = [finding.correction for one in found.report.findings for finding in one.findings]
    assert cures == ["descending"]


def test_another_number_of_tensors_is_red(tmp_path: Path) -> None:
    found = judged(Model(Beside(), (X,), pte=lowered(Fewer(), tmp_path / "model.pte")))
    assert found.exit_code == 1
    assert "the program returns 1 tensors, the module 2" in {v.summary for v in found.verdicts}


class Takes(nn.Module):
    def forward(self, x: Tensor, n: int, flag: bool, y: Tensor, word: str) -> Tensor:
        return x * n + y


NUMBERS = (X, 3, True, X + 1, "text")


@pytest.mark.parametrize("by_file", [False, True])
def test_numbers_that_the_export_fixed_are_given_to_the_program(
    by_file: bool, tmp_path: Path
) -> None:
    program = torch.export.export(Takes(), NUMBERS)
    model = Model(program, NUMBERS)
    if by_file:
        from harness.export.lower import lower_to_mlx

        path = tmp_path / "model.pte"
        lower_to_mlx({"forward": program}, {}, path)
        model = Model(Takes(), NUMBERS, pte=path)
    found = judged(model)
    assert [f"{v.case}: {v.summary}" for v in found.verdicts if v.status is not Status.PASS] == []


def test_a_number_that_each_call_may_set_is_refused() -> None:
    shapes = (None, torch.export.Dim.DYNAMIC, None, None, None)
    program = torch.export.export(Takes(), NUMBERS, dynamic_shapes=shapes)
    with pytest.raises(InputError, match="input n is a number that each call may set"):
        judged(Model(program, NUMBERS))
