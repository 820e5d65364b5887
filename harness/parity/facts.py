"""What a report says of a run besides its verdicts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from importlib import metadata

from harness.compare import Status, Verdict
from harness.export.artifacts import Artifact
from harness.fingerprint import Fingerprint
from harness.parity.plan import Plan
from harness.report import ArtifactFacts, Choice, Reference

__all__ = [
    "artifact_facts",
    "reference",
    "stack_versions",
    "today",
    "tool_version",
]

_EAGER = "upstream's eager PyTorch model, executorch.examples.models.voxtral_tts"

_SOUND, _SPEECH = ("codec", "speech"), ("speech",)

_CHOICES = (
    (
        _SOUND,
        Choice(
            "ALiBi slopes",
            "2^(−8(h+1)/n)",
            "ExecuTorch, mlx-audio, voxtral-tts.c; vLLM-Omni and tt-metal use 2^(−8h/n)",
        ),
    ),
    (
        _SPEECH,
        Choice(
            "seed step",
            "one more [AUDIO] token after the prompt",
            "ExecuTorch's C++ runner, voxtral-tts.c; vLLM-Omni, tt-metal and mlx-audio have none",
        ),
    ),
    (
        _SPEECH,
        Choice(
            "rounding of acoustic codes",
            "half away from zero",
            "ExecuTorch's C++ runner; torch and mlx round half to even",
        ),
    ),
    (
        _SOUND,
        Choice(
            "special codes at the codec",
            "→ 0",
            "ExecuTorch and voxtral-tts.c; others → −2 and −1",
        ),
    ),
)
"""Choices on which public implementations disagree, and the subjects that depend on each."""

_AGAINST_EAGER = ("tensor", "waveform", "pcm", "codes", "sqnr", "constants", "quantisation")
"""Kinds of verdict that compare with eager."""


def reference(plan: Plan, verdicts: Sequence[Verdict]) -> Reference:
    """What the verdicts really compared with, and what of the export was not as usual."""
    judged = {
        verdict.subject
        for verdict in verdicts
        if verdict.kind in _AGAINST_EAGER and verdict.status is not Status.UNJUDGED
    }
    choices = [choice for subjects, choice in _CHOICES if judged & set(subjects)]
    if plan.codec_form != "conv":
        choices.append(Choice("codec form", plan.codec_form, "--codec-form"))
    if plan.without:
        choices.append(Choice("stock lowering put back", ", ".join(plan.without), "--without"))
    return Reference(_EAGER if judged else "none: nothing was compared with one", tuple(choices))


def artifact_facts(artifact: Artifact) -> ArtifactFacts:
    """Which file, as it is now."""
    return ArtifactFacts(
        artifact.name,
        artifact.bytes,
        artifact.sha256,
        artifact.seconds if artifact.origin == "exported" else 0.0,
        artifact.origin,
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
