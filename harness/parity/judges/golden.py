"""Verdicts on the codec's sound against its golden."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from harness import golden
from harness.arrays import Array
from harness.budget.regimes import EXACT, NAMES
from harness.compare import Verdict, statistics
from harness.errors import InputError
from harness.fingerprint import UNMEASURED, Fingerprint
from harness.golden import Golden, GoldenKey
from harness.methods import SOUND
from harness.methods.precision import FP32
from harness.parity.evidence import SPEECH, Evidence
from harness.parity.judges.values import refused
from harness.parity.observation import Observation
from harness.parity.plan import Plan

__all__ = ["EXPECTED", "choose_golden", "find_golden", "golden_key", "golden_run", "judge_golden"]

EXPECTED = ("tiny", "small")
"""Checkpoints whose golden in fp32 must exist; of others one counts as soon as it was blessed."""


def golden_key(plan: Plan, executor: Fingerprint) -> GoldenKey:
    """Which golden a run belongs to."""
    # What has no canaries runs on CPUs, in float32.
    regime = EXACT if executor.regime == UNMEASURED else executor.regime
    return GoldenKey(plan.checkpoint.name, SOUND.name, plan.precision.name, regime)


def find_golden(plan: Plan, executor: Fingerprint, root: Path | None = None) -> Golden | None:
    """The golden that a run is compared with; None if there is none."""
    try:
        root = root or golden.default_root()
    except InputError:
        return None  # installed without a checkout: there are no goldens
    return choose_golden(plan, executor, partial(golden.read, root))


def choose_golden(
    plan: Plan, executor: Fingerprint, read: Callable[[GoldenKey], Golden | None]
) -> Golden | None:
    """The golden that a run is compared with, of those that `read` gives by their keys.

    Where the executor's float32 is exact, so does the golden of exact float32 serve: what that
    leaves differs by less than the drift a golden allows.
    """
    if not golden.is_name(plan.checkpoint.name):
        return None  # a directory that no golden can be called after
    key = golden_key(plan, executor)
    found = read(key)
    if found is None and key.regime.startswith(EXACT):
        exact = GoldenKey(key.checkpoint, key.method, key.precision, EXACT)
        found = read(exact)
    return found


def golden_run(plan: Plan, evidence: Evidence, observation: Observation) -> Golden:
    """What the executor's codec makes of eager's codes, as a golden of it would hold it.

    Raises
    ------
    InputError
        The executor's codec made nothing of them.
    """
    observed = observation.cases.get(SOUND.name, {}).get(SPEECH)
    if observed is None or observed.refusal is not None:
        raise InputError("the codec made no sound of eager's codes; see its own verdicts")
    codes = golden.as_codes(evidence.speech.codes)
    samples = _sound(observed.outputs)[: len(codes) * plan.sizes.downsample_factor]
    voice = hashlib.sha256(evidence.prompt.voice_rows.astype("<f4").tobytes()).hexdigest()
    return Golden(
        golden_key(plan, observation.executor),
        statistics(samples, plan.sizes.sampling_rate, len(codes)),
        codes,
        {"checkpoint": plan.checkpoint.digest, "voice": voice},
    )


def judge_golden(
    plan: Plan, evidence: Evidence, observation: Observation, kept: Golden | None
) -> list[Verdict]:
    """Compare the codec's waveform with its golden, where the run is one that goldens are of."""
    observed = observation.cases.get(SOUND.name, {}).get(SPEECH)
    if observed is None or not plan.usual or SOUND.name not in plan.methods:
        return []
    if kept is None:
        key = golden_key(plan, observation.executor)
        expected = plan.checkpoint.name in EXPECTED and plan.precision == FP32
        expected = expected and key.regime in NAMES  # none is of an emulated regime
        return [golden.missing(key)] if expected and plan.preset else []
    if observed.refusal is not None:
        return [refused(SOUND.name, "golden", observed.refusal)]
    return golden.judge(kept, golden_run(plan, evidence, observation))


def _sound(outputs: tuple[Array, ...]) -> Array:
    """The windows' samples one after the other; only the last is padded."""
    return np.concatenate([output.reshape(-1) for output in outputs]).astype(np.float32)
