"""Verdicts from a second lowering of the same evidence: whose fault a difference is."""

from __future__ import annotations

from harness.budget import Budget
from harness.compare import Oracle, Verdict
from harness.compare.triangulate import BackendResult, CaseResult, triangulate
from harness.methods import Method
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import STEPS, CaseEvidence, Evidence
from harness.parity.judges.values import NOT_RUN, judge_outputs, oracles_of, unlowered
from harness.parity.observation import Observation
from harness.parity.plan import Plan

__all__ = ["Lowered", "judge_lowerings"]

_NOTES = {
    "text_decoder": "text_decoder reaches XNNPACK as upstream's own module, because MLX's "
    "attention operators have no CPU kernels: what both lowerings share is the layers and weights.",
}

Lowered = tuple[Plan, Artifacts, Observation]
"""One lowering: what was planned, made and observed."""


def judge_lowerings(
    method: Method, evidence: Evidence, mlx: Lowered, xnnpack: Lowered, budget: Budget
) -> Verdict:
    """Triangulate one method: eager, MLX and XNNPACK on the same inputs."""
    oracles = oracles_of(evidence, method)
    results = [
        CaseResult(
            item.case.label,
            item.outputs,
            _result(method, item, mlx, budget, oracles.get(item.case.label)),
            _result(method, item, xnnpack, budget, oracles.get(item.case.label)),
        )
        for item in evidence.cases[method.name]
        if item.case.label != STEPS
    ]
    notes = [_NOTES[method.name]] if method.name in _NOTES else []
    return triangulate(method.name, results, notes)


def _result(
    method: Method, item: CaseEvidence, lowered: Lowered, budget: Budget, oracle: Oracle | None
) -> BackendResult:
    plan, artifacts, observation = lowered
    reason = artifacts.failure(method)
    if reason is not None:
        return BackendResult(unlowered(method, reason, plan.lowering), None)
    observed = observation.cases.get(method.name, {}).get(item.case.label, NOT_RUN)
    allowed = budget.of(
        plan.lowering, plan.precision.allowance, method.name, observation.executor.regime
    )
    verdict = judge_outputs(plan, method, item, observed, allowed, oracle)
    return BackendResult(verdict, observed.outputs or None)
