"""What a report says of a run besides its verdicts."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from importlib import metadata

from harness.compare import Status, Verdict
from harness.export.artifacts import Artifact
from harness.fingerprint import Fingerprint
from harness.parity.judges.trace import TRACE
from harness.parity.observation import Observation
from harness.parity.plan import Plan
from harness.reference.semantics import DISPUTES, EXECUTORCH, SPEECH
from harness.report import ArtifactFacts, Choice, Reference

__all__ = [
    "artifact_facts",
    "executor_facts",
    "name_disputes",
    "reference",
    "stack_versions",
    "today",
    "tool_version",
]

_EAGER = "upstream's eager PyTorch model, executorch.examples.models.voxtral_tts"

_AGAINST_EAGER = (
    "tensor",
    "waveform",
    "pcm",
    "codes",
    "sqnr",
    "constants",
    "quantisation",
    "logits",
)
"""Kinds of verdict that compare with eager."""


def reference(plan: Plan, verdicts: Sequence[Verdict]) -> Reference:
    """What the verdicts really compared with, and what of the export was not as usual."""
    judged = {
        verdict.subject
        for verdict in verdicts
        if verdict.kind in _AGAINST_EAGER and verdict.status is not Status.UNJUDGED
    }
    semantics = plan.semantics
    choices = [
        Choice(dispute.name, dispute.value(semantics), dispute.source(semantics))
        for dispute in DISPUTES
        if judged & set(dispute.subjects)
    ]
    if plan.codec_form != "conv":
        choices.append(Choice("codec form", plan.codec_form, "--codec-form"))
    if plan.without:
        choices.append(Choice("stock lowering put back", ", ".join(plan.without), "--without"))
    eager = _EAGER if semantics == EXECUTORCH else f"{_EAGER}, made to follow {semantics.title}"
    return Reference(eager if judged else "none: nothing was compared with one", tuple(choices))


def name_disputes(plan: Plan, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts; a failed one says what eager did that ExecuTorch, which was exported, does not.

    With ExecuTorch's own semantics that is nothing.
    """
    return tuple(_named(plan, verdict) for verdict in verdicts)


def _named(plan: Plan, verdict: Verdict) -> Verdict:
    semantics = plan.semantics
    subject = SPEECH if verdict.case.startswith(TRACE) else verdict.subject
    told = [
        f"{dispute.name}: {dispute.value(semantics)} (exported: {dispute.value(EXECUTORCH)})"
        for dispute in DISPUTES
        if dispute.switched
        and subject in dispute.subjects
        and dispute.value(semantics) != dispute.value(EXECUTORCH)
    ]
    if not told or verdict.status is not Status.FAIL or verdict.kind not in _AGAINST_EAGER:
        return verdict
    note = f"Eager follows {semantics.title} here: {'; '.join(told)}."
    return dataclasses.replace(verdict, notes=(note, *verdict.notes))


def artifact_facts(artifact: Artifact) -> ArtifactFacts:
    """Which file, as it is now."""
    return ArtifactFacts(
        artifact.name,
        artifact.bytes,
        artifact.sha256,
        artifact.seconds if artifact.origin == "exported" else 0.0,
        artifact.origin,
    )


def executor_facts(plan: Plan, observation: Observation) -> Fingerprint:
    """Which executor ran, and whether a link was left out because it shows outputs alone."""
    executor = observation.executor
    if plan.lowering != "mlx" or observation.cases.keys() <= observation.local.keys():
        return executor
    return dataclasses.replace(executor, notes=(*executor.notes, _NO_STEPS))


_NO_STEPS = (
    "it shows outputs alone, so that no step was judged by itself; "
    "`voxtral-parity bundle run --every-step` judges each"
)


def stack_versions(executor: Fingerprint) -> Mapping[str, str]:
    """Versions of whatever computes: the export stack's and the executor's."""
    names = ("torch", "executorch", "torchao", "numpy")
    return {**{name: metadata.version(name) for name in names}, **executor.versions}


def tool_version() -> str:
    """Version of voxtral-parity."""
    return metadata.version("voxtral-parity")


def today() -> str:
    """ISO date in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
