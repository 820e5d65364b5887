"""What eager PyTorch did: the recorded speech and the edge cases, with their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.arrays import Array
from harness.checkpoint import Checkpoint
from harness.errors import InputError
from harness.methods import METHODS, Dimensions
from harness.methods.cases import Case, edge_cases
from harness.synthesis import Recorder, Speech, speak

if TYPE_CHECKING:
    from harness.reference.eager import EagerModel

__all__ = ["SPEECH", "EagerRun", "Evidence", "Script", "gather", "replay_speech"]

SPEECH = "speech"
"""Label of the recorded calls."""


@dataclass(frozen=True)
class Script:
    """What the eager model is asked to say.

    Attributes
    ----------
    text, voice
        What, and in whose voice.
    seed
        Of the flow's noise.
    frames
        After which to stop, whether or not speech has ended.
    """

    text: str
    voice: str
    seed: int
    frames: int


@dataclass(frozen=True)
class Evidence:
    """A case and what eager made of it, one output a call."""

    case: Case
    outputs: tuple[Array, ...]


@dataclass(frozen=True)
class EagerRun:
    """Everything the eager model did.

    Attributes
    ----------
    speech
        What it said, and how near each decision was to another.
    evidence
        For each method, the recorded calls first, then the edge cases.
    """

    speech: Speech
    evidence: Mapping[str, tuple[Evidence, ...]]


def gather(
    eager: EagerModel,
    checkpoint: Checkpoint,
    sizes: Dimensions,
    script: Script,
    float_type: str = "float32",
) -> EagerRun:
    """Let the eager model speak, then run every method's edge cases.

    Replaying the recorded calls feeds an executor eager's own inputs at every call (teacher
    forcing), so that one flipped code cannot cascade.

    Raises
    ------
    InputError
        Eager says nothing of this text, which would be nothing to compare with.
    """
    recorder = Recorder(eager)
    speech = speak(
        recorder,
        checkpoint,
        script.text,
        script.voice,
        seed=script.seed,
        max_frames=script.frames,
        max_seq_len=sizes.max_seq_len,
        codec_frames=sizes.max_codec_frames,
        dtype=float_type,
    )
    if not speech.frames:
        raise InputError(
            f"eager ends before its first frame of {script.text[:60]!r}; give another text"
        )
    evidence = {}
    for method in METHODS:
        calls = recorder.calls(method.name)
        spoken = Evidence(
            Case(method.name, SPEECH, tuple(call.inputs for call in calls)),
            tuple(call.output for call in calls),
        )
        edges = [_run(eager, case) for case in edge_cases(method.name, sizes, float_type)]
        evidence[method.name] = (spoken, *edges)
    return EagerRun(speech, evidence)


def replay_speech(eager: EagerModel, run: EagerRun) -> EagerRun:
    """What another eager model makes of the recorded calls of `run`, fed with `run`'s inputs."""
    return EagerRun(
        run.speech,
        {name: (_run(eager, evidence[0].case),) for name, evidence in run.evidence.items()},
    )


def _run(eager: EagerModel, case: Case) -> Evidence:
    eager.reset()
    outputs = []
    for call in case.calls:
        (output,) = eager.call(case.method, call)
        outputs.append(output)
    return Evidence(case, tuple(outputs))
