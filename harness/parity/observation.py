"""The fourth value of the line: what an executor did with the artifacts, and what it refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.arrays import Array
from harness.budget import LocalAllowance
from harness.fingerprint import Fingerprint
from harness.pte.control import Control
from harness.runner.trace import Trace
from harness.runtime.protocol import StepError
from harness.synthesis import Chunks, Followed

__all__ = [
    "By",
    "CaseObservation",
    "ControlObservation",
    "LocalObservation",
    "Observation",
    "Refusal",
    "Spoken",
    "SpokenTwice",
    "StepObservation",
]


class By(StrEnum):
    """Who refused to go on."""

    PROGRAM = "program"
    """The exported program: it is wrong, and its verdict fails."""

    HARNESS = "harness"
    """The harness, its input or the machine: nothing can be said of the program."""


@dataclass(frozen=True)
class Refusal:
    """Why there is no output: who refused, in which words, and what it said before, if anything."""

    by: By
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class CaseObservation:
    """What came of one case: an output a call, or a refusal."""

    outputs: tuple[Array, ...] = ()
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Spoken:
    """One free-running speech.

    Attributes
    ----------
    codes
        int64, shape (n_codebooks, frames).
    ended
        Whether END_AUDIO came.
    waveform
        float32 with full scale ±1, shape (samples,); int16 codes of the WAV where the executor
        gives nothing else.
    margins
        How near each decision was to another, as far as the executor tells, by the methods that
        decide.
    """

    codes: Array
    ended: bool
    waveform: Array
    margins: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class SpokenTwice:
    """The utterance said twice, and the first one's codes streamed.

    Attributes
    ----------
    first, again
        Both speeches, decoded offline.
    stream_codes
        The codes that were streamed: the first speech's, over and over if that is short.
    streamed, offline
        What the codec made of `stream_codes` in chunks and offline, as `Spoken.waveform`.
    chunks
        The chunks of the stream.
    windows
        What the codec was given in the stream, int64, shape (1, n_codebooks, codec_frames) each;
        none where the executor does not tell.
    """

    first: Spoken
    again: Spoken
    stream_codes: Array
    streamed: Array
    offline: Array
    chunks: Chunks
    windows: tuple[Array, ...] = ()


@dataclass(frozen=True)
class StepObservation:
    """The call in which one step was furthest off.

    Attributes
    ----------
    worst
        The step, and how far off it was.
    case, call
        In which call.
    calls
        How often it was judged.
    """

    worst: StepError
    case: str
    call: int
    calls: int


@dataclass(frozen=True)
class LocalObservation:
    """Every step of one method, judged on the inputs which it really had.

    Attributes
    ----------
    steps
        Those judged, in the order they run.
    unjudged
        Steps that ran and have no float64 semantics.
    calls
        How many calls were watched.
    changed
        Calls whose outputs were others while nobody watched.
    refusal
        Why nothing was seen.
    hidden
        Steps whose values the executor does not show; what they make goes into one that is judged.
    """

    steps: tuple[StepObservation, ...] = ()
    unjudged: tuple[str, ...] = ()
    calls: int = 0
    changed: tuple[str, ...] = ()
    refusal: Refusal | None = None
    hidden: int = 0

    def wrong(self, allowance: LocalAllowance) -> tuple[StepObservation, ...]:
        """The steps that do not compute what they mean."""
        return tuple(step for step in self.steps if not step.worst.share(allowance) <= 1.0)


@dataclass(frozen=True)
class ControlObservation:
    """What came of a program whose constants were drawn for this run.

    Attributes
    ----------
    control
        What was drawn.
    output
        What the executor made of it.
    refused
        In which words it refused the same program with a damaged payload; empty if it ran.
    refusal
        Why one of the two could not be tried.
    """

    control: Control
    output: Array | None = None
    refused: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Observation:
    """What one executor did.

    Attributes
    ----------
    executor
        Which, on what device, in which regime of arithmetic.
    cases
        For each method, what came of each case, by the case's label.
    speech
        What it said by itself; None if it was not asked, or was not able to.
    speech_refusal
        Why it was not able to.
    exact
        For each method, what came of the first calls of each case in float64, by the case's label;
        and of the speech, what the loop decides in its first frames.
    local
        For each method, what its steps did; none where the executor does not let them be seen.
    trace
        What upstream's runner tells of the first frames; None of other executors.
    control
        Proof that the delegate ran; None of executors of other programs.
    along
        What the executor decides along eager's own codes; None unless it chose others by itself
        where eager is not there to follow them (`harness.bundle`).
    """

    executor: Fingerprint
    cases: Mapping[str, Mapping[str, CaseObservation]]
    speech: SpokenTwice | None = None
    speech_refusal: Refusal | None = None
    exact: Mapping[str, Mapping[str, CaseObservation]] = field(default_factory=dict)
    local: Mapping[str, LocalObservation] = field(default_factory=dict)
    trace: Trace | None = None
    control: ControlObservation | None = None
    along: Followed | None = None
