"""What a report says of a run besides its verdicts."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from importlib import metadata

from harness.checkpoint import Checkpoint
from harness.compare import Status, Verdict
from harness.export.artifacts import Artifact
from harness.files import file_digest
from harness.fingerprint import Fingerprint
from harness.report import ArtifactFacts, CheckpointFacts, Choice, Reference

__all__ = [
    "REFERENCE",
    "artifact_facts",
    "checkpoint_facts",
    "judge_integrity",
    "reference",
    "stack_versions",
    "today",
    "tool_version",
]

REFERENCE = Reference(
    description="upstream's eager PyTorch model, executorch.examples.models.voxtral_tts",
    choices=(
        Choice(
            "ALiBi slopes",
            "2^(−8(h+1)/n)",
            "ExecuTorch, mlx-audio, voxtral-tts.c; vLLM-Omni and tt-metal use 2^(−8h/n)",
        ),
        Choice(
            "seed step",
            "one more [AUDIO] token after the prompt",
            "ExecuTorch's C++ runner, voxtral-tts.c; vLLM-Omni, tt-metal and mlx-audio have none",
        ),
        Choice(
            "rounding of acoustic codes",
            "half away from zero",
            "ExecuTorch's C++ runner; torch and mlx round half to even",
        ),
        Choice("special codes at the codec", "→ 0", "ExecuTorch; others → −2 and −1"),
    ),
)
"""Choices on which public implementations disagree; never a silent constant."""


def reference(codec_form: str, without: Sequence[str]) -> Reference:
    """What the run was judged against, and what of the export was not as usual."""
    unusual = []
    if codec_form != "conv":
        unusual.append(Choice("codec form", codec_form, "--codec-form"))
    if without:
        unusual.append(Choice("stock lowering put back", ", ".join(without), "--without"))
    return dataclasses.replace(REFERENCE, choices=(*REFERENCE.choices, *unusual))


def checkpoint_facts(checkpoint: Checkpoint) -> CheckpointFacts:
    """Which weights."""
    return CheckpointFacts(checkpoint.name, checkpoint.digest, checkpoint.directory.name)


def artifact_facts(artifact: Artifact) -> ArtifactFacts:
    """Which file, as it is now."""
    return ArtifactFacts(
        artifact.name,
        artifact.bytes,
        artifact.sha256,
        0.0 if artifact.cached else artifact.seconds,
        artifact.cached,
    )


def judge_integrity(artifact: Artifact) -> Verdict | None:
    """A failed verdict if the file is no longer what was exported; None if it is."""
    if not artifact.path.exists():
        return None
    now = file_digest(artifact.path)
    if now == artifact.sha256:
        return None
    return Verdict(
        subject=artifact.name,
        case="integrity",
        kind="artifact",
        status=Status.FAIL,
        summary=f"the cached file changed after its export: sha256 {artifact.sha256[:12]}… then, "
        f"{now[:12]}… now",
        notes=("The verdicts below are on the changed file; `--fresh` exports it again.",),
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
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
