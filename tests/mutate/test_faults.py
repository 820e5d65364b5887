"""One fault at a time: the method that has it turns red, and its node is named.

``nox -s mutate`` runs them; `fixtures/mutants.py` joins what caught which into a matrix.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.compare import Status
from harness.compare.verdict import Verdict
from tests.mutate.bench import Bench, Fault, Trial, failed
from tests.mutate.known import survivor

pytestmark = pytest.mark.mutate


def test_fault(
    fault: Fault,
    precision: str,
    benches: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, Any], None],
) -> None:
    trial = fault.run(benches(watched=False))
    if not caught(fault, trial):
        monkeypatch.undo()  # a second look begins from a sound harness
        trial = fault.run(benches(whole=True))
    red, survives = failed(trial.verdicts), survivor(fault.name, precision)
    row = {
        "fault": fault.name,
        "kind": fault.kind,
        "precision": precision,
        "equivalent": fault.equivalent,
        "caught": caught(fault, trial),
        "checks": sorted({f"{v.kind}" for v in red if v.subject == fault.subject}),
        "named": named(trial),
    }
    record_property("mutant", json.dumps(row))
    assert trial.verdicts
    if fault.equivalent:
        assert [v.summary for v in red] == []
        assert Status.PASS in {verdict.status for verdict in trial.verdicts}
    elif survives and not caught(fault, trial):
        pytest.xfail(survives)
    else:
        assert not survives, "it is caught: delete it from SURVIVORS"
        assert caught(fault, trial), [verdict.summary for verdict in trial.verdicts]


def caught(fault: Fault, trial: Trial) -> bool:
    """Whether a verdict on the right subject is red."""
    return any(verdict.subject == fault.subject for verdict in failed(trial.verdicts))


def named(trial: Trial) -> bool | None:
    """Whether a red verdict names the place of the fault; None where it has none."""
    if not (trial.node or trial.module):
        return None
    return any(names(verdict, trial) for verdict in failed(trial.verdicts))


def names(verdict: Verdict, trial: Trial) -> bool:
    """Whether one red verdict names it: the weight, the instruction that refused, or the node."""
    told = verdict.metrics
    if verdict.kind == "constants":
        wrong = told["changed"]
        assert isinstance(wrong, tuple)
        weight = trial.module.split(".parametrizations")[0].removesuffix("_channel_last")
        return bool(weight) and any(weight in str(name) for name in wrong)
    if verdict.kind == "execution" and trial.place and trial.place in verdict.summary:
        return True
    if verdict.kind == "local" and "worst step" not in {g.name for g in verdict.failed_gates}:
        return False  # it only says that a call changed
    if trial.node:
        return told.get("node") == trial.node
    return bool(trial.module) and str(told.get("module", "")).endswith(trial.module)
