"""The interpreter's own arithmetic, measured through the functions that run programs."""

from __future__ import annotations

from typing import Any

import pytest

from harness.budget.regimes import BF16, EXACT, NARROW
from harness.errors import ExecutionError
from harness.pte.canaries import canaries, explain
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.blas import mx
from harness.runtime.portable.canaries import run
from harness.runtime.portable.interpreter import OPS


@pytest.mark.parametrize(
    ("options", "name", "quantised"),
    [
        ({}, EXACT, EXACT),
        ({"fast": False}, EXACT, EXACT),
        # MLX's CPU kernel adds 16-bit quantised products up in 16 bits.
        ({"faithful": True}, NARROW, BF16),
    ],
)
def test_the_regimes_of_a_cpu(options: dict[str, bool], name: str, quantised: str) -> None:
    regime = PortableExecutor(**options).regime()

    assert regime.faults == ()
    assert regime.name == name
    assert regime.products["quantised bfloat16"] == quantised
    assert regime.products["matrix float32"] == regime.products["attention float32"] == EXACT
    # MLX 0.32.2 rounds every partial sum of 16-bit numbers to 16 bits.
    assert regime.products["sum bfloat16"] == BF16


def broken(name: str, wrong: Any) -> dict[str, Any]:
    return {name: lambda n, s: wrong(OPS[name](n, s))}


@pytest.mark.parametrize(
    ("node", "wrong", "kinds"),
    [
        ("AddmmNode", lambda y: y * 1.1, {"matrix", "exact"}),
        ("Conv1DNode", lambda y: mx.roll(y, 1, axis=1), {"convolution"}),
        ("ConvTranspose1DNode", lambda y: mx.flip(y, [1]), {"convolution"}),
        ("QuantizedMatmulNode", lambda y: y + 1, {"quantised", "unpacking"}),
        ("SdpaNode", lambda y: mx.where(y > 1, mx.array(float("nan"), y.dtype), y), {"attention"}),
        ("SumNode", lambda y: y * 2, {"sum"}),
        ("RMSNormNode", lambda y: y * 1.1, {"exact"}),
        ("LayerNormNode", lambda y: y + 1, {"exact"}),
        ("SoftmaxNode", lambda y: y + 0.5, {"exact"}),
        ("ExpNode", lambda y: y * 1.5, {"exact"}),
    ],
)
def test_a_wrong_kernel_is_found_by_its_canaries(node: str, wrong: Any, kinds: set[str]) -> None:
    faults = set()
    for canary in canaries():
        if any(name == node for name, _ in canary.steps):
            made = run(canary, faithful=False, fast=True, ops=broken(node, wrong))
            faults |= {fault.kind for fault in explain([(canary, made)]).faults}
    assert faults >= kinds if node == "SdpaNode" else faults == kinds


def test_a_kernel_that_refuses_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(node: Any, slots: Any) -> Any:
        raise ExecutionError("[conv] no such kernel")

    executor = PortableExecutor()
    monkeypatch.setattr(executor, "_ops", {"Conv1DNode": refusing})
    faults = executor.regime().faults
    assert {fault.dtype for fault in faults} == {"float32", "float16", "bfloat16"}
    assert all(fault.kind == "convolution" for fault in faults)
    assert "cannot be run: " in faults[0].said
    assert "no such kernel" in faults[0].said
