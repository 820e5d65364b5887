"""Plan, Evidence, Artifacts, Observation → Verdicts: pure functions of what was seen.

Needs neither torch nor executorch nor mlx, so that an Observation of another machine can be
judged here, and again under another budget.
"""

from __future__ import annotations

import dataclasses

from harness.budget import COMMITTED, Budget
from harness.compare import Gate, Status, Verdict
from harness.golden import Golden
from harness.golden.pins import Pins
from harness.methods import Method
from harness.parity.artifacts import ArtifactContents, Artifacts
from harness.parity.evidence import Evidence
from harness.parity.judges.contents import judge_constants, judge_quantization
from harness.parity.judges.control import judge_control
from harness.parity.judges.files import (
    judge_coverage,
    judge_delegation,
    judge_file_size,
    judge_metadata,
)
from harness.parity.judges.golden import judge_golden
from harness.parity.judges.kernels import with_kernels
from harness.parity.judges.links import NOT_WATCHED, judge_exact, judge_local
from harness.parity.judges.pins import judge_pins
from harness.parity.judges.speech import judge_speech
from harness.parity.judges.values import judge_precision, judge_values, unlowered
from harness.parity.observation import Observation
from harness.parity.plan import Plan
from harness.reference.metadata import expected_metadata

__all__ = ["judge", "judge_method"]


def judge(
    plan: Plan,
    evidence: Evidence,
    artifacts: Artifacts,
    observation: Observation,
    *,
    golden: Golden | None = None,
    pins: Pins | None = None,
    budget: Budget = COMMITTED,
) -> tuple[Verdict, ...]:
    """Every verdict, in the order of the report.

    Parameters
    ----------
    plan, evidence, artifacts, observation
        What was asked, what should be, what was made, and what came of it.
    golden, pins
        What the codec's waveform, and what eager itself, is compared with, if there are any.
    budget
        What may differ.
    """
    found: list[Verdict] = []
    if observation.control is not None:
        found.append(judge_control(observation.control))
    for method in plan.selected:
        found += judge_method(plan, method, evidence, artifacts, observation, budget)
    for name, file in artifacts.files.items():
        found += _judge_file(plan, name, file, evidence)
    if plan.speaks and artifacts.whole:
        found += judge_speech(plan, evidence, observation, budget)
    found += judge_golden(plan, evidence, observation, golden)
    found += judge_pins(plan, evidence, pins)
    found = [_warned(verdict) for verdict in found]
    return tuple(with_kernels(found, [plan.precision.float_type], observation.executor))


_OF_THE_LEDGER = ("tensor", "waveform", "pcm", "codes", "exact")
"""Kinds of verdict whose gates stand in the ledger; a step's bound is reached by right ones."""


def _warned(verdict: Verdict) -> Verdict:
    """With a note on allowances that are nearly used up."""
    if verdict.status is not Status.PASS or verdict.kind not in _OF_THE_LEDGER:
        return verdict
    notes = [
        f"Near: {gate.name} uses {gate.headroom_used:.0%} of what is allowed."
        for gate in verdict.near_gates
    ]
    return dataclasses.replace(verdict, notes=(*verdict.notes, *notes)) if notes else verdict


def judge_method(
    plan: Plan,
    method: Method,
    evidence: Evidence,
    artifacts: Artifacts,
    observation: Observation,
    budget: Budget = COMMITTED,
) -> list[Verdict]:
    """Every verdict on one method."""
    reason = artifacts.failure(method)
    if reason is not None:
        return [unlowered(method, reason, plan.lowering)]
    facts = artifacts.files[method.artifact].facts
    assert facts is not None
    delegated = (judge_delegation if plan.lowering == "mlx" else judge_coverage)(method, facts)
    if method.entry not in facts.methods:
        return [delegated]
    expected = evidence.constants[plan.lowering]
    found = [delegated, judge_constants(method, expected, facts)]
    if plan.lowering == "mlx" and plan.precision.quantized:
        found.append(judge_quantization(method, expected, facts))
    if plan.lowering == "mlx":
        exact = observation.exact.get(method.name, {})
        meant = evidence.exact.get(method.name, {})
        advice = f"`voxtral-parity localize {method.name}` names the node."
        found.append(judge_exact(method.name, meant, exact, budget.exact, advice))
    if plan.only_speaks:
        return found
    if observation.local:  # an executor that shows steps shows those of each method
        seen = observation.local.get(method.name, NOT_WATCHED)
        found.append(judge_local(method, seen, budget.local))
    observed = observation.cases.get(method.name, {})
    regime = observation.executor.regime
    found += judge_values(plan, method, evidence, observed, budget, regime)
    return [*found, *judge_precision(plan, method, evidence)]


def _judge_file(plan: Plan, name: str, file: ArtifactContents, evidence: Evidence) -> list[Verdict]:
    if file.facts is None:
        return []  # nothing could be lowered, as the methods' verdicts say
    found = []
    made = file.made
    if file.sha256 != made.sha256:
        summary = (
            f"the file changed after its export: sha256 {made.sha256[:12]}… then, "
            f"{file.sha256[:12]}… now"
        )
        note = "All verdicts are on the changed file; `--fresh` exports it again."
        gate = Gate("changed", 1, 0, "files")
        found.append(
            Verdict(name, "integrity", "artifact", Status.FAIL, summary, {}, (gate,), 1, (note,))
        )
    metadata = expected_metadata(
        plan.config,
        plan.sizes,
        plan.precision,
        streaming=None if plan.given else False,
        voice_rows=len(evidence.prompt.voice_rows),
    )
    found.append(judge_metadata(name, metadata[name], file.facts))
    # Others may export other forms of the same methods, and XNNPACK packs weights otherwise.
    if not plan.given and plan.lowering == "mlx" and not made.failures:
        found.append(judge_file_size(name, evidence.constants[plan.lowering], file.facts))
    return found
