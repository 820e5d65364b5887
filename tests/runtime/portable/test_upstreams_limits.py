"""Inputs and results of kinds that upstream's runtime takes, or refuses, are taken, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.arrays import Array, from_torch
from harness.errors import ExecutionError, InputError, UnsupportedError
from harness.export.lower import lower_to_mlx
from harness.runtime.portable import PortableExecutor


class Of(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def called(folder: Path, module: nn.Module, *inputs: Any, given: Any = None) -> list[Array]:
    path = folder / "program.pte"
    lower_to_mlx({"forward": torch.export.export(module.eval(), inputs)}, {}, path)
    executor = PortableExecutor()
    executor.load(path)
    return executor.call("forward", [as_array(x) for x in given or inputs])


def as_array(x: Any) -> Array:
    return from_torch(x) if isinstance(x, torch.Tensor) else np.asarray(x)


@pytest.mark.parametrize(
    ("module", "shape"), [(nn.BatchNorm1d(3), (2, 3)), (nn.BatchNorm3d(3), (2, 3, 2, 2, 2))]
)
def test_a_batch_norm_saves_no_statistics(
    tmp_path: Path, module: nn.Module, shape: tuple[int, ...]
) -> None:
    x = torch.rand(shape)
    (made,) = called(tmp_path, module, x)
    assert np.allclose(made, module(x).detach().numpy(), atol=1e-6)


def test_none_goes_in_and_comes_out(tmp_path: Path) -> None:
    module, x = Of(lambda x, y: (x + 1 if y is None else x, None)), torch.rand(2, 3)
    made, none = called(tmp_path, module, x, None)
    assert np.array_equal(made, x.numpy() + 1)
    assert none.item() is None
    with pytest.raises(InputError, match="input 1 of forward must be None"):
        called(tmp_path, module, x, None, given=(x, x))


def test_an_empty_tensor_goes_to_a_kernel_and_not_to_mlx(tmp_path: Path) -> None:
    empty = torch.rand(0, 3)
    (made,) = called(tmp_path, Of(torch.special.gammaln), empty)
    assert made.shape == (0, 3)
    with pytest.raises(ExecutionError, match=r"empty tensor \(shape \(0, 3\)\) is given to MLX"):
        called(tmp_path, Of(torch.neg), empty)


def test_complex_numbers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="complex64"):
        called(tmp_path, Of(lambda x: torch.fft.rfft(x).abs()), torch.rand(2, 8))


LEAST = torch.iinfo(torch.int64).min


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [([1, 2], [1, 0], "divided by 0"), ([1, LEAST], [1, -1], "the least integer")],
)
@pytest.mark.parametrize("function", [torch.remainder, torch.floor_divide])
def test_a_division_that_ends_the_process_is_refused(
    tmp_path: Path, function: Any, a: list[int], b: list[int], said: str
) -> None:
    inputs, fine = (torch.tensor([7, -7]), torch.tensor([2, 2])), (torch.tensor(a), torch.tensor(b))
    (made,) = called(tmp_path, Of(function), *inputs)
    assert np.array_equal(made, function(*inputs).numpy())
    with pytest.raises(ExecutionError, match=said):
        called(tmp_path, Of(function), *inputs, given=fine)
