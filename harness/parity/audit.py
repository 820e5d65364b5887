"""What each choice that implementations dispute costs on a checkpoint: the reference on trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare.metrics import measure, reduce_call, total
from harness.methods import SOUND
from harness.parity.check import open_models
from harness.parity.evidence import Evidence
from harness.parity.plan import Plan, resolve
from harness.parity.record import record
from harness.parity.request import Request
from harness.reference.models import Models
from harness.reference.semantics import DISPUTES, EXECUTORCH, SEMANTICS, Semantics
from harness.synthesis import Prompt, Utterance, decode_codes, speak
from harness.synthesis.frames import Decoder, Frames, acoustic_codes

__all__ = ["Audit", "Cost", "Difference", "audit"]

_LOOP = ("seed_step", "rounding")
"""Fields that change the loop around the methods; the others change the codec."""


@dataclass(frozen=True)
class Difference:
    """How far a method's outputs on one case's inputs are from the reference's.

    `max_abs` is over the reference's greatest magnitude, `rms` over its RMS.
    """

    method: str
    case: str
    max_abs: float
    rms: float


@dataclass(frozen=True)
class Cost:
    """What speech becomes if eager makes one choice otherwise, or all of an implementation's.

    Attributes
    ----------
    choice, value
        The choice's name, and what is done instead.
    who
        The implementations that do.
    differences
        Of each method that computes something else on the same inputs, case by case.
    decisions, otherwise
        Codes that are decided along the reference's own, and how many of them come out otherwise.
    first_frame
        Speaking by itself, the first frame with another code; None where all are the same.
    frames
        Frames that it then speaks.
    snr_db
        Waveform of the reference's codes, signal to noise.
    free_snr_db
        Waveform of what it speaks by itself, as far as both go.
    """

    choice: str
    value: str
    who: tuple[str, ...]
    differences: tuple[Difference, ...]
    decisions: int
    otherwise: int
    first_frame: int | None
    frames: int
    snr_db: float
    free_snr_db: float


@dataclass(frozen=True)
class Audit:
    """The costs on one checkpoint, of one utterance.

    `told` are the choices that cannot be switched: name, and who does what.
    """

    checkpoint: str
    digest: str
    precision: str
    utterance: Utterance
    frames: int
    costs: tuple[Cost, ...]
    told: tuple[tuple[str, str], ...]


def audit(request: Request, progress: Callable[[str], None] = lambda text: None) -> Audit:
    """Let eager speak under each choice that is not ExecuTorch's, and measure the difference.

    Raises
    ------
    HarnessError
        Bad input, or eager says nothing of the text.
    """
    request = dataclasses.replace(request, semantics=EXECUTORCH.name)
    models = open_models(request, progress)
    plan = resolve(request, models.checkpoint)
    evidence = record(plan, models, fresh=request.fresh, progress=progress)
    costs = []
    for choice, value, semantics in _variants():
        progress(f"eager with {choice}: {value}")
        costs.append(_Trial(plan, models, evidence, semantics).cost(choice, value))
    told = [
        (dispute.name, f"{dispute.value(EXECUTORCH)} — {dispute.source(EXECUTORCH)}")
        for dispute in DISPUTES
        if not dispute.switched
    ]
    return Audit(
        plan.checkpoint.name,
        plan.checkpoint.digest,
        plan.precision.name,
        plan.utterance,
        evidence.speech.frames,
        tuple(costs),
        tuple(told),
    )


def _variants() -> Iterator[tuple[str, str, Semantics]]:
    """Each choice made otherwise by itself, then each implementation's choices together."""
    for dispute in DISPUTES:
        for value, words in dispute.words.items():
            if dispute.switched and value != getattr(EXECUTORCH, dispute.field):
                changed: dict[str, Any] = {dispute.field: value}
                yield dispute.name, words, dataclasses.replace(EXECUTORCH, **changed)
    for semantics in SEMANTICS.values():
        if semantics != EXECUTORCH:
            yield "all of them", f"as {semantics.title}", semantics


class _Trial:
    """Eager under other semantics, beside what it does under its own."""

    def __init__(
        self, plan: Plan, models: Models, evidence: Evidence, semantics: Semantics
    ) -> None:
        from harness.reference.eager import EagerModel

        self._plan, self._evidence, self._semantics = plan, evidence, semantics
        self._eager = EagerModel(models.eager_model, semantics)
        self._spoken = semantics.spoken(plan.utterance)

    def cost(self, choice: str, value: str) -> Cost:
        plan, speech = self._plan, self._evidence.speech
        waveform = decode_codes(self._eager, plan.config, speech.codes, plan.limits.codec_frames)
        decisions, otherwise = self._decisions()
        codes, spoken = self._speak(waveform)
        common = min(codes.shape[1], speech.codes.shape[1])
        moved = (codes[:, :common] != speech.codes[:, :common]).any(axis=0)
        first = int(moved.argmax()) if moved.any() else None
        if first is None and codes.shape != speech.codes.shape:
            first = common
        return Cost(
            choice,
            value,
            self._who(),
            tuple(self._differences()),
            decisions,
            otherwise,
            first,
            codes.shape[1],
            _snr(waveform, speech.waveform),
            _snr(spoken, speech.waveform),
        )

    def _who(self) -> tuple[str, ...]:
        """Who makes every choice that is not the reference's."""
        fields = [
            dispute.field
            for dispute in DISPUTES
            if getattr(self._semantics, dispute.field) != getattr(EXECUTORCH, dispute.field)
        ]
        return tuple(
            one.title
            for one in SEMANTICS.values()
            if all(getattr(one, name) == getattr(self._semantics, name) for name in fields)
        )

    def _differences(self) -> Iterator[Difference]:
        """Of the codec: the other five methods are the same functions under any semantics."""
        for item in self._evidence.cases[SOUND.name]:
            outputs = [self._eager.call(SOUND.name, call)[0] for call in item.case.calls]
            metrics = total(
                [reduce_call(*pair) for pair in zip(outputs, item.outputs, strict=True)]
            )
            yield Difference(
                SOUND.name, item.case.label, metrics.max_abs_scaled, metrics.rms_scaled
            )

    def _decisions(self) -> tuple[int, int]:
        """How many codes are decided along the reference's, and how many otherwise."""
        plan, speech = self._plan, self._evidence.speech
        decoder = Decoder(self._eager, plan.limits, "audit")
        frames = Frames(
            decoder, plan.config, self._prompt, self._spoken, (speech.codes, speech.ended)
        )
        for _ in frames:
            pass
        semantic = np.array(frames.behind) != 0
        acoustic = [acoustic_codes(levels, self._spoken) for levels in frames.levels]
        wrong = speech.codes[1:, : len(acoustic)] != np.array(acoustic).T
        return semantic.size + wrong.size, int(semantic.sum() + wrong.sum())

    def _speak(self, same: NDArray[np.float32]) -> tuple[NDArray[np.int64], Array]:
        """Codes and waveform of speech by itself; `same` if the loop is the reference's."""
        plan = self._plan
        if all(getattr(self._semantics, name) == getattr(EXECUTORCH, name) for name in _LOOP):
            return self._evidence.speech.codes, same
        made = speak(self._eager, plan.config, self._prompt, self._spoken, plan.limits)
        return made.codes, made.waveform

    @property
    def _prompt(self) -> Prompt:
        return self._evidence.prompt


def _snr(candidate: Array, reference: Array) -> float:
    common = min(candidate.size, reference.size)
    if not common:
        return 0.0
    return measure(candidate[:common], reference[:common]).snr_db
