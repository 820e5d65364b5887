"""The third value of the line: the two `.pte`, what they say, and what could not be lowered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import InputError
from harness.export.artifacts import (
    Artifact,
    ExportInputs,
    export_artifact,
    given_artifact,
)
from harness.methods import CODEC, MODEL, Method
from harness.parity.plan import Plan
from harness.pte.facts import ProgramFacts, read_facts
from harness.reference.models import Models
from harness.synthesis import RUNNER_CHUNKS, Chunks

__all__ = ["ArtifactContents", "Artifacts", "export", "open_artifacts"]


@dataclass(frozen=True)
class ArtifactContents:
    """One file as it is now.

    Attributes
    ----------
    made
        How it came: exported, from the cache, or given.
    sha256
        Of the file's bytes now, in hex; empty where nothing could be lowered.
    facts
        What it says; None likewise.
    """

    made: Artifact
    sha256: str
    facts: ProgramFacts | None


@dataclass(frozen=True)
class Artifacts:
    """The files that a Plan needs, by name."""

    files: Mapping[str, ArtifactContents]

    @property
    def paths(self) -> dict[str, Path]:
        """Where each file is, by name."""
        return {name: file.made.path for name, file in self.files.items()}

    def failure(self, method: Method) -> str | None:
        """Why a method could not be lowered; None if it could."""
        return self.files[method.artifact].made.failures.get(method.name)

    @property
    def whole(self) -> bool:
        """Whether every method of every file could be lowered."""
        return not any(file.made.failures for file in self.files.values())

    @property
    def chunks(self) -> Chunks:
        """How to stream, as `model.pte` says, or as upstream does where it says nothing."""
        facts = self.files[MODEL].facts
        told = {} if facts is None else facts.metadata

        def number(name: str, usual: int) -> int:
            value = told.get(name)
            return value if isinstance(value, int) else usual

        return Chunks(
            number("streaming_initial_chunk", RUNNER_CHUNKS.initial),
            number("streaming_chunk_frames", RUNNER_CHUNKS.following),
            number("streaming_left_context", RUNNER_CHUNKS.left_context),
        )


def export(
    plan: Plan,
    models: Models,
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Artifacts:
    """Export the files that `plan` needs, or find them in the cache."""
    voice = models.checkpoint.find_voice(plan.utterance.voice)
    files = {}
    for name in plan.artifacts:
        options = plan.export_options(name)
        inputs = ExportInputs(name, plan.sizes, options, models.checkpoint.digest, voice)
        model = partial(models.to_export, codec=name == CODEC)
        files[name] = _contents(export_artifact(inputs, model, fresh=fresh, progress=progress))
    return Artifacts(files)


def open_artifacts(plan: Plan, directory: Path) -> Artifacts:
    """The files that `plan` needs, which somebody else exported into `directory`.

    Raises
    ------
    InputError
        One is not there, or holds weights of another precision than the plan's.
    ProgramError
        One is no program.
    """
    files = {name: _contents(given_artifact(directory, name)) for name in plan.artifacts}
    for name, file in files.items():
        _check_precision(plan, name, file)
    return Artifacts(files)


def _check_precision(plan: Plan, name: str, file: ArtifactContents) -> None:
    """Refuse to judge a file under a precision that it was not exported in."""
    assert file.facts is not None
    methods, precision = file.facts.methods.values(), plan.precision
    types: Counter[str] = Counter()
    for constant in (c for method in methods for c in method.constants if c.is_float):
        # A table may be float32 in any precision: most of the numbers tell.
        types[constant.dtype] += math.prod(constant.shape)
    packed = any(method.layers for method in methods)
    if types and types.most_common(1)[0][0] != precision.float_type:
        held = f"{types.most_common(1)[0][0]} weights"
    elif packed and not precision.quantized:
        held = "quantised weights"
    elif name == MODEL and precision.quantized and not packed and types:
        held = "no quantised weight"
    else:
        return
    raise InputError(
        f"{name} holds {held}, which is not {precision.name}; say with --precision in which "
        "precision it was exported"
    )


def _contents(made: Artifact) -> ArtifactContents:
    if not made.path.exists():
        return ArtifactContents(made, "", None)
    return ArtifactContents(made, made.sha256, read_facts(made.path))
