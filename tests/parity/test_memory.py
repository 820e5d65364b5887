"""Of a model of the real size, eager and the executor are not in memory together."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from harness.compare import Status
from harness.parity import Request
from harness.parity.check import check, open_models


def test_a_wide_models_weights_are_gone_before_the_executor_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = Request(executor="portable", methods=("semantic_head",))
    models = open_models(request)
    before = models.eager_model, models.exact
    module = sys.modules[check.__module__]  # the package has a function of its name
    held: list[set[str]] = []
    observe = module._observe

    def seen(*arguments: Any) -> Any:
        held.append({"model", "mapped", "eager", "eager_fp32", "exact"} & set(vars(models)))
        return observe(*arguments)

    monkeypatch.setattr(module, "_observe", seen)
    monkeypatch.setattr(module, "WIDE", 1)
    checked = check(request, models=models)

    assert held == [set()]
    assert {verdict.status for verdict in checked.verdicts} == {Status.PASS}
    assert models.eager_model is not before[0]  # loaded again for who asks
    assert models.exact is not before[1]
    monkeypatch.setattr(module, "WIDE", 1 << 20)
    check(request, models=models)
    assert held[1] >= {"mapped", "exact"}
