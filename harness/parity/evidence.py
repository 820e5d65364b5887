"""The second value of the line: what eager PyTorch did, and what the checkpoint says must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.arrays import Array
from harness.methods.cases import Case
from harness.parity.opening import Opening
from harness.pte.expected import ExpectedContents
from harness.synthesis import Followed, Prompt, Speech

__all__ = ["EXACT_FRAMES", "SPEECH", "STEPS", "CaseEvidence", "Evidence"]

SPEECH = "speech"
"""Label of the recorded calls."""

EXACT_FRAMES = 2
"""Frames of the speech that the loop makes in float64: the second one's state is of its own."""

STEPS = "prefill ≡ single steps"
"""Label of the recorded prefill, made in single steps."""


@dataclass(frozen=True)
class CaseEvidence:
    """A case and what eager made of it, one output a call."""

    case: Case
    outputs: tuple[Array, ...]


@dataclass(frozen=True)
class Evidence:
    """What an Observation is compared with.

    Attributes
    ----------
    prompt
        Of the utterance, for whoever says it by itself.
    speech
        What eager said, and how near each decision was to another.
    cases
        For each method, the recorded calls first, then the edge cases.
    constants
        For each lowering, then each method: the constants that its program must hold.
    fp32
        For each method, what eager in fp32 makes of the recorded calls; none where that is the
        precision judged.
    exact
        For each method, by the case's label: what eager makes of its first calls in float64, with
        the same weights widened exactly.
    own, exact_own
        What eager decides along its own codes, and what it would without rounding; None of a model
        of the real width, where that takes a CPU an hour.
    followed, exact_followed, opening
        The same along the codes that an executor chose by itself, and eager's first values there,
        added once these are known; None before, or where they are eager's own.
    rounded
        The codes, int64, that a few acoustic values get, some of them halfway between two levels,
        where no speech's lie.
    """

    prompt: Prompt
    speech: Speech
    cases: Mapping[str, tuple[CaseEvidence, ...]]
    constants: Mapping[str, Mapping[str, ExpectedContents]]
    fp32: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)
    exact: Mapping[str, Mapping[str, tuple[Array, ...]]] = field(default_factory=dict)
    own: Followed | None = None
    exact_own: Followed | None = None
    followed: Followed | None = None
    exact_followed: Followed | None = None
    opening: Opening | None = None
    rounded: Array = field(default_factory=lambda: np.zeros(0, np.int64))
