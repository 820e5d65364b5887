"""The codec's sound with faults that its bf16 allowances let through before: every one is red."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fixtures.exports import Line
from harness.arrays import Array
from harness.compare import Status
from harness.parity.evidence import SPEECH
from harness.parity.judges.values import judge_outputs, oracles_of
from harness.parity.observation import CaseObservation

RATE = 24_000


def noise(x: Array) -> Array:
    return x + 0.1 * np.std(x) * np.random.default_rng(1).standard_normal(x.shape)


def hole(x: Array) -> Array:
    """300 ms of silence at the quietest place."""
    width = RATE * 3 // 10
    at = int(np.convolve(x.ravel() ** 2, np.ones(width), "valid").argmin())
    made = x.copy()
    made[..., at : at + width] = 0
    return made


def tone(x: Array) -> Array:
    return x + 0.01 * np.abs(x).max() * np.sin(2 * np.pi * 1000 * np.arange(x.size) / RATE)


FAULTS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "white noise at -20 dB": (noise, "RMS of own"),
    "a hole of 300 ms": (hole, "level drop"),
    "a tone at -40 dB": (tone, "worst band of own"),
    "everything under 2 % of the peak zeroed": (
        lambda x: np.where(np.abs(x) < 0.02 * np.abs(x).max(), 0, x), "samples that are 0",
    ),
    "8-bit requantisation": (lambda x: np.rint(x * 127) / 127, "samples that are 0"),
    "gain -1 %": (lambda x: x * 0.99, "coherence with signal"),
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_sound_is_red(
    fault: str, precision: str, parity_in: Callable[[str], Line]
) -> None:
    line = parity_in(precision)
    method, item = line.case("codec")
    observed = line.observed_on(line.executor(method.artifact), method, item.case)
    (made,) = observed.outputs
    damage, seen_by = FAULTS[fault]

    def judged(output: Array) -> tuple[Status, set[str]]:
        from harness.budget import COMMITTED

        allowed = COMMITTED.of("mlx", precision, "codec")
        oracle = oracles_of(line.evidence, method).get(SPEECH)
        here = CaseObservation((output,))
        verdict = judge_outputs(line.plan, method, item, here, allowed, oracle)
        return verdict.status, {gate.name for gate in verdict.failed_gates}

    assert judged(made) == (Status.PASS, set())
    status, gates = judged(damage(made.astype(np.float64)).astype(made.dtype))
    assert status is Status.FAIL
    assert seen_by in gates
