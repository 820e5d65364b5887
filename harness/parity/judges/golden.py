"""Verdicts on the codec's sound against its golden."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness import golden
from harness.arrays import Array
from harness.compare import Verdict, WaveformStatistics, statistics
from harness.errors import InputError
from harness.fingerprint import Fingerprint
from harness.golden import Golden, GoldenKey
from harness.methods import SOUND
from harness.methods.precision import FP32
from harness.parity.evidence import SPEECH, Evidence
from harness.parity.judges.values import refused
from harness.parity.observation import Observation
from harness.parity.plan import Plan

__all__ = ["EXPECTED", "find_golden", "golden_key", "golden_statistics", "judge_golden"]

EXPECTED = ("tiny",)
"""Checkpoints whose golden in fp32 must exist; of others one counts as soon as it was blessed."""


def golden_key(plan: Plan, executor: Fingerprint) -> GoldenKey:
    """Which golden a run belongs to."""
    regime = "metal" if executor.executor == "native" else "cpu"
    return GoldenKey(plan.checkpoint.name, SOUND.name, plan.precision.name, regime)


def find_golden(plan: Plan, executor: Fingerprint, root: Path | None = None) -> Golden | None:
    """The golden that a run is compared with; None if there is none.

    Where none was blessed on this kind of machine, that of CPUs serves: fp32 differs between them
    by less than the drift a golden allows.
    """
    key = golden_key(plan, executor)
    try:
        root = root or golden.default_root()
    except InputError:
        return None  # installed without a checkout: there are no goldens
    cpu = GoldenKey(key.checkpoint, key.method, key.precision, "cpu")
    return golden.read(root, key) or golden.read(root, cpu)


def golden_statistics(
    plan: Plan, evidence: Evidence, observation: Observation
) -> WaveformStatistics:
    """Statistics of what the executor's codec makes of eager's codes.

    Raises
    ------
    InputError
        The executor's codec made nothing of them.
    """
    observed = observation.cases.get(SOUND.name, {}).get(SPEECH)
    if observed is None or observed.refusal is not None:
        raise InputError("the codec made no sound of eager's codes; see its own verdicts")
    frames = evidence.speech.codes.shape[1]
    samples = _sound(observed.outputs)[: frames * plan.sizes.downsample_factor]
    return statistics(samples, plan.sizes.sampling_rate, frames)


def judge_golden(
    plan: Plan, evidence: Evidence, observation: Observation, kept: Golden | None
) -> list[Verdict]:
    """Compare the codec's waveform with its golden, where the run is one that goldens are of."""
    observed = observation.cases.get(SOUND.name, {}).get(SPEECH)
    if observed is None or not plan.usual or SOUND.name not in plan.methods:
        return []
    if kept is None:
        expected = plan.checkpoint.name in EXPECTED and plan.precision == FP32
        key = golden_key(plan, observation.executor)
        return [golden.missing(key)] if expected and plan.preset else []
    if observed.refusal is not None:
        return [refused(SOUND.name, "golden", observed.refusal)]
    waveform = golden_statistics(plan, evidence, observation)
    return list(golden.check(kept, waveform, evidence.speech.codes, plan.checkpoint.digest))


def _sound(outputs: tuple[Array, ...]) -> Array:
    """The windows' samples one after the other; only the last is padded."""
    return np.concatenate([output.reshape(-1) for output in outputs]).astype(np.float32)
