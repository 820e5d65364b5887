"""The regime of ExecuTorch's runtime, by exported canaries; the portable executor stands in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.budget.regimes import EXACT
from harness.errors import MachineError
from harness.runtime.native import NativeExecutor
from harness.runtime.native import executor as native
from harness.runtime.portable import PortableExecutor


class StandIn(PortableExecutor):
    """Takes native's options, and dies of one method."""

    dies_of = ""

    def __init__(self, **options: Any) -> None:
        super().__init__()

    _canaries = NativeExecutor._canaries

    def call(self, method: str, inputs: Sequence[np.ndarray], **named: Any) -> list[np.ndarray]:
        if method == self.dies_of:
            raise MachineError("the native runtime's process died")
        return super().call(method, inputs, **named)


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> NativeExecutor:
    executor = NativeExecutor()
    monkeypatch.setattr(executor, "_usable", ["MLXBackend"])
    monkeypatch.setattr(native, "NativeExecutor", StandIn)
    return executor


def test_it_is_measured_by_the_exported_canaries(on_a_mac: NativeExecutor) -> None:
    regime = on_a_mac.regime()
    assert regime is not None
    assert regime == PortableExecutor().regime()
    assert (regime.name, regime.faults) == (EXACT, ())


def test_kernels_that_end_the_process_are_faults_and_others_are_still_run(
    on_a_mac: NativeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StandIn, "dies_of", "attention_bfloat16")
    regime = on_a_mac.regime()
    assert regime is not None
    assert {(fault.kind, fault.dtype) for fault in regime.faults} == {("attention", "bfloat16")}
    assert "it cannot be run: the native runtime's process died" in str(regime.faults[0])
    assert regime.products["sum bfloat16"]


def test_without_mlx_there_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, usable in (("native", ["XnnpackBackend"]), ("xnnpack", ["MLXBackend"])):
        executor = NativeExecutor(name=name)
        monkeypatch.setattr(executor, "_usable", usable)
        assert executor.regime() is None
