"""Modules as their users make them: what holds computed tensors is judged, others are refused."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.anymodel import Model
from harness.anymodel.recording import record
from harness.anymodel.tracing import trace
from harness.errors import InputError

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))


class Computed(nn.Module):
    """Keeps a tensor that was computed from a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))
        self.doubled = [self.weight * 2]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.doubled[0]


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def normed() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old style is deprecated, and used
        return torch.nn.utils.weight_norm(nn.Linear(8, 4))


@pytest.mark.parametrize("make", [normed, Computed])
def test_tensors_that_were_computed_from_weights_are_copied(make: Callable[[], nn.Module]) -> None:
    module = make()
    recorded = record(trace(Model(module, (X,))))
    assert recorded.captured[0] == 0.0
    assert recorded.captured[1] < 1e-12
    assert torch.equal(torch.from_numpy(recorded.cases[0].eager[0][0]), module(X).detach())


def scripted() -> nn.Module:
    module: nn.Module = torch.jit.script(nn.Linear(8, 4))
    return module


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (scripted, "is a TorchScript module, which torch.export does not take"),
        (Locked, "Locked cannot be copied with copy.deepcopy, .* cannot pickle '_thread.lock'"),
    ],
)
def test_what_cannot_be_copied_is_refused(make: Callable[[], nn.Module], told: str) -> None:
    with pytest.raises(InputError, match=told):
        trace(Model(make(), (X,)))
