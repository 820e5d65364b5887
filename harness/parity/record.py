"""Plan → Evidence: let eager PyTorch speak, run every case, and keep what it did in the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.arrays import Array
from harness.cache import Recipe, digest_of, maker, read_or_make
from harness.checkpoint.voices import peer_of
from harness.errors import InputError
from harness.files import file_digest
from harness.methods import METHODS
from harness.methods.cases import WIDE, Case, edge_cases
from harness.methods.precision import FP32, Precision
from harness.parity.archive import load, save
from harness.parity.evidence import SPEECH, STEPS, CaseEvidence, Evidence
from harness.parity.opening import Opening, opening_of
from harness.parity.plan import Plan
from harness.pte.expected import ExpectedContents
from harness.reference.models import Models
from harness.synthesis import (
    Followed,
    Prompt,
    Recorder,
    Runner,
    follow,
    make_prompt,
    scaled_levels,
    speak,
)
from harness.synthesis.frames import Forced, acoustic_codes
from harness.upstream import parts

__all__ = ["follow_codes", "record", "run_case"]

T = TypeVar("T")


def record(
    plan: Plan,
    models: Models,
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Evidence:
    """What eager does, from the cache if it did so before.

    Parameters
    ----------
    plan
        What to say, and for which sizes.
    models
        Gives the eager models, where they must run.
    fresh
        Run them even if the cache has the evidence.
    progress
        Called with one line a step.

    Raises
    ------
    InputError
        Eager says nothing of this text, which would be nothing to compare with.
    """

    def make() -> Evidence:
        progress(f"eager speaks: {plan.utterance.text[:60]}")
        return _record(plan, models, progress)

    recipe = _recipe("evidence", plan, _facts(plan, models))
    return _cached(recipe, Evidence, make, fresh, progress)


def follow_codes(
    plan: Plan,
    evidence: Evidence,
    models: Models,
    codes: Array,
    ended: bool,
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Evidence:
    """`evidence`, with what eager decides along the codes that an executor chose.

    Parameters
    ----------
    codes, ended
        int64, shape (n_codebooks, frames), and whether END_AUDIO came after them. Where they are
        eager's own, its speech says all of it already.
    """
    if np.array_equal(codes, evidence.speech.codes) and ended == evidence.speech.ended:
        return evidence

    def make() -> _Along:
        progress("eager follows the codes that were chosen")
        recorder = Recorder(models.eager)
        followed, exact = _follow(plan, models, evidence.prompt, (codes, ended), recorder)
        opening = opening_of(lambda name: [call.output for call in recorder.calls(name)])
        return _Along(followed, opening, exact)

    facts = {**_facts(plan, models), "codes": digest_of(codes.tobytes()), "ended": ended}
    recipe = _recipe("followed codes", plan, facts)
    along = _cached(recipe, _Along, make, fresh, progress)
    return dataclasses.replace(
        evidence,
        followed=along.followed,
        opening=along.opening,
        exact_followed=along.exact,
    )


@dataclass(frozen=True)
class _Along:
    """What eager does along codes that somebody else chose, and decides there without rounding."""

    followed: Followed
    opening: Opening
    exact: Followed | None


def _follow(
    plan: Plan, models: Models, prompt: Prompt, forced: Forced, eager: Runner
) -> tuple[Followed, Followed | None]:
    """What eager decides along codes, with rounding and, of a model that is not wide, without."""
    rounded = follow(eager, plan.config, prompt, plan.spoken, plan.limits, forced)
    if plan.sizes.dim >= WIDE:
        return rounded, None
    limits = dataclasses.replace(plan.limits, dtype="float32")
    return rounded, follow(models.exact, plan.config, prompt, plan.spoken, limits, forced)


def _record(plan: Plan, models: Models, progress: Callable[[str], None]) -> Evidence:
    eager, float_type = models.eager, plan.precision.float_type
    prompt = make_prompt(models.checkpoint, plan.utterance)
    recorder = Recorder(eager)
    speech = speak(recorder, plan.config, prompt, plan.spoken, plan.limits)
    if not speech.frames:
        raise InputError(
            f"eager ends before its first frame of {plan.utterance.text[:60]!r}, so that there is "
            "nothing to compare; give another --text"
        )
    cases: dict[str, tuple[CaseEvidence, ...]] = {}
    for method in METHODS:
        calls = recorder.calls(method.name)
        recorded = CaseEvidence(
            Case(method.name, SPEECH, tuple(call.inputs for call in calls)),
            tuple(call.output for call in calls),
        )
        progress(f"eager runs the cases of {method.name}")
        others = [
            CaseEvidence(case, run_case(eager, case))
            for case in edge_cases(method.name, plan.sizes, float_type)
        ]
        if method.stateful:  # for the executor against itself: eager has no part in it
            others.append(CaseEvidence(_single_steps(recorded.case), ()))
        cases[method.name] = (recorded, *others)
    fp32: dict[str, tuple[Array, ...]] = {}
    if plan.precision != FP32:
        progress("eager repeats the speech in fp32")
        for name, (recorded, *_) in cases.items():
            fp32[name] = run_case(models.eager_fp32, recorded.case)
    progress("eager runs the cases in float64")
    exact = {
        name: {
            item.case.label: _exactly(plan, models.exact, item)
            for item in _exact_cases(plan, items)
        }
        for name, items in cases.items()
    }
    rounded = acoustic_codes(scaled_levels(_VALUES, plan.config.acoustic_levels), plan.spoken)
    constants = _constants(plan, models)
    evidence = Evidence(prompt, speech, cases, constants, fp32, exact, rounded=rounded)
    if plan.sizes.dim >= WIDE:
        return evidence
    forced = (speech.codes, speech.ended)
    own, exact_own = _follow(plan, models, prompt, forced, models.eager)
    return dataclasses.replace(evidence, own=own, exact_own=exact_own)


def _exact_cases(plan: Plan, items: tuple[CaseEvidence, ...]) -> list[CaseEvidence]:
    """The cases that eager also runs in float64: of a model of the real width, its speech."""
    judged = [item for item in items if item.outputs]
    return judged[:1] if plan.sizes.dim >= WIDE else judged


def _exactly(plan: Plan, twin: Runner, item: CaseEvidence) -> tuple[Array, ...]:
    wide = plan.sizes.dim >= WIDE
    return run_case(twin, item.case.first(_WIDE_CALLS) if wide else item.case)


_VALUES = np.array([-3, -1, -0.75, -0.25, 0, 0.25, 0.75, 1, 3], np.float32)
"""Acoustic values at the ends, beyond them, in the middle, and exactly halfway between two of 21
levels: 2.5, 7.5, 12.5 and 17.5."""


def _constants(plan: Plan, models: Models) -> dict[str, dict[str, ExpectedContents]]:
    """What programs must hold; XNNPACK takes quantised weights in floating point."""
    from harness.reference.constants import expected_constants

    model, checkpoint = models.eager_model, models.checkpoint
    mlx = expected_constants(model, plan.precision, checkpoint)
    if not plan.precision.quantized:
        return {"mlx": mlx, "xnnpack": mlx}
    base = Precision(plan.precision.base)
    return {"mlx": mlx, "xnnpack": expected_constants(model, base, checkpoint)}


def _single_steps(recorded: Case) -> Case:
    """The recorded prefill once more, a token at a time."""
    embeds, positions = recorded.calls[0]
    singles = [(embeds[:, i : i + 1], positions[i : i + 1]) for i in range(len(positions))]
    return Case(recorded.method, STEPS, tuple(singles))


def run_case(eager: Runner, case: Case) -> tuple[Array, ...]:
    """What a model makes of a case, from fresh states: one output a call."""
    for state in case.state_names:
        eager.reset(state)
    outputs = []
    for state, call in case.in_states():
        (output,) = eager.call(case.method, call, state=state)
        outputs.append(output)
    return tuple(outputs)


_WIDE_CALLS = 2
"""Calls in float64 of a model of the real width, where each takes a CPU a minute."""

_STACK = (
    "torch", "executorch", "torchao", "numpy", "ml_dtypes", "safetensors", "mistral-common",
    "tiktoken",
)  # fmt: skip

_UPSTREAM = ("examples/models/voxtral_tts", "extension/llm/custom_ops")


def _facts(plan: Plan, models: Models) -> dict[str, Any]:
    """Everything that eager's numbers depend on."""
    voice = models.checkpoint.find_voice(plan.utterance.voice)
    peer = None if voice is None else peer_of(voice)
    # How evidence is asked for, judged and reported does not change it: what a plan says is a
    # fact by itself.
    without = ["harness.export", "harness.parity.request", "harness.pte.metadata", "harness.report"]
    if not plan.precision.quantized:
        without.append("harness.reference.quantize")
    return {
        "weights": f"sha256:{plan.checkpoint.digest}",
        "voice": None if voice is None else f"sha256:{file_digest(voice)}",
        "voice's peer": None if peer is None else f"sha256:{file_digest(peer)}",
        "sizes": asdict(plan.sizes),
        "utterance": asdict(plan.spoken),
        "semantics": plan.semantics.name,
        "precision": asdict(plan.precision),
        **maker(
            "harness.parity.record",
            "harness.checkpoint.loading",
            stack=_STACK,
            packages=parts(*_UPSTREAM, quantized=plan.precision.quantized),
            without=without,
        ),
    }


def _recipe(name: str, plan: Plan, facts: Mapping[str, Any]) -> Recipe:
    brief = f"{plan.precision.name}, {plan.utterance.text!r}, {plan.checkpoint.name}"
    return Recipe("eager", name, facts, brief)


def _cached(
    recipe: Recipe,
    kind: type[T],
    make: Callable[[], T],
    fresh: bool,
    progress: Callable[[str], None],
) -> T:
    file = "value.safetensors"
    made: list[T] = []

    def write(scratch: Path) -> None:
        made.append(make())
        save(scratch / file, made[0])

    def read(entry: Path) -> T | None:
        if made:
            return made[0]
        try:
            return load(entry / file, kind)
        except InputError:  # damaged on disk, it is only a copy of what `make` makes again
            return None

    return read_or_make(recipe, write, read, fresh=fresh, progress=progress)
