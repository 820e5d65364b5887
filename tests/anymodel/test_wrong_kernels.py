"""A kernel that is wrong: the executor's fault, and the machine's where its canaries found it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from torch import Tensor, nn

from fixtures.machine import FAULT, measured
from fixtures.models import Mlp, judged, some, verdict
from harness.anymodel import Model
from harness.compare import Status
from harness.runtime.portable import PortableExecutor, interpreter


class Narrows(nn.Module):
    """Only what it computes is in 16 bits."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(x.bfloat16()).float()


def test_a_wrong_kernel_is_the_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    right = interpreter.OPS["SiluNode"]

    def off(node: Any, slots: Any) -> Any:
        return right(node, slots) * 1.001

    monkeypatch.setitem(interpreter.OPS, "SiluNode", off)
    found = judged(Model(Mlp(), (some(2, 32),)))
    step = verdict(found, "each step")
    assert step.status is Status.FAIL
    assert step.metrics["operator"] == "aten.silu.default"
    assert step.metrics["owner"] == "the executor or its kernel"
    assert verdict(found, "in float64").status is Status.PASS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_kernel_that_is_wrong_on_known_inputs_is_no_mismatch(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    regime = measured(dataclasses.replace(FAULT, dtype=dtype))
    monkeypatch.setattr(PortableExecutor, "regime", lambda self: regime)
    monkeypatch.setitem(
        interpreter.OPS, "SiluNode", lambda node, slots: slots.tensor(node.x) * 0 + 1
    )
    narrow = judged(Model(Mlp().bfloat16(), (some(2, 32).bfloat16(),)))
    assert narrow.exit_code == 2
    assert narrow.verdicts[0].subject == "machine"
    assert verdict(narrow, "example").status is Status.UNJUDGED
    assert judged(Model(Mlp(), (some(2, 32),))).exit_code == (2 if dtype == "float32" else 1)
    assert judged(Model(Narrows(), (some(2, 32),))).exit_code == 2
