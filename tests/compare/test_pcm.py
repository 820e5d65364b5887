"""WAV against WAV: what floats may differ by passes after the cast, damage does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.signal

from harness.compare import Allowance, Status, Verdict, to_pcm16
from harness.compare.pcm import cast_fault, judge_pcm

RATE = 24000
FP32 = Allowance(2e-5, 2e-5, 1e-5, "chosen for these tests")
BF16 = Allowance(0.03, 0.03, 0.02, "chosen for these tests")
DRAW = np.random.default_rng(5)
VOICE = (0.1 * DRAW.standard_normal(2 * RATE)).astype(np.float32)
CODES = to_pcm16(VOICE)


def judged(candidate: np.ndarray, allowance: Allowance = FP32) -> Verdict:
    return judge_pcm("speech", "WAV", candidate, CODES, allowance, RATE)


def test_equal_codes_pass_with_the_levels_of_both() -> None:
    verdict = judged(CODES.copy())
    assert verdict.status is Status.PASS
    assert verdict.summary == "0 of 48,000 codes differ, by at most 0 LSB"
    assert verdict.elements == 48000
    for side in ("candidate", "reference"):
        assert -20.1 < verdict.metrics[f"{side}.pcm16.rms_dbfs"] < -19.9


def test_floats_within_their_allowance_pass_after_the_cast() -> None:
    error = 1e-6 * DRAW.standard_normal(VOICE.shape)
    verdict = judged(to_pcm16(VOICE + error))
    assert verdict.status is Status.PASS
    assert 0 < verdict.metrics["differing"] < 4800
    assert verdict.gates[0].value == 1


def test_a_wider_allowance_widens_by_steps() -> None:
    moved = to_pcm16(VOICE * np.float32(1.01))
    assert judged(moved).status is Status.FAIL
    assert judged(moved, BF16).status is Status.PASS
    assert judged(to_pcm16(VOICE * np.float32(1.04)), BF16).status is Status.FAIL


def one_code(by: int) -> np.ndarray:
    codes = CODES.copy()
    codes[700] += by
    return codes


def with_a_hole() -> np.ndarray:
    codes = CODES.copy()
    codes[5000:5100] = 0
    return codes


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (one_code(2), "1 of 48,000 codes differ, by at most 2 LSB, the most at sample 700; 16-bit"),
        (CODES[:-1], "47,999 samples, the reference 48,000"),
        (np.roll(CODES, 1), "16-bit codes"),
        (np.clip(CODES, -4000, 4000), "16-bit codes"),
        (CODES // 2, "gain error 0.50"),
        (with_a_hole(), "16-bit codes"),
        (to_pcm16(scipy.signal.lfilter([0.5, 0.5], [1], VOICE)), "RMS error"),
    ],
    ids=["one code", "cut", "delayed", "clipped", "halved", "hole", "low-passed"],
)
def test_damage_fails_and_is_named(damaged: np.ndarray, words: str) -> None:
    verdict = judged(damaged)
    assert verdict.status is Status.FAIL
    assert words in verdict.summary
    assert not all(gate.passed for gate in verdict.gates)


def test_a_sample_may_clip_by_the_step_that_any_code_may_differ_by() -> None:
    reference = CODES.copy()
    reference[9] = 32766
    candidate = reference.copy()
    candidate[9] = 32767
    verdict = judge_pcm("speech", "WAV", candidate, reference, FP32, RATE)
    assert verdict.status is Status.PASS
    assert verdict.metrics["candidate.pcm16.clipped"] == 1


@pytest.mark.parametrize("codes", [np.zeros(0, np.int16), np.full(99, 7, np.int16)])
def test_nothing_and_silence_are_not_judged(codes: np.ndarray) -> None:
    verdict = judge_pcm("speech", "WAV", codes, codes, FP32, RATE)
    assert verdict.status is Status.UNJUDGED


def test_a_zero_allowance_still_has_the_step_of_the_cast() -> None:
    exact = dataclasses.replace(FP32, max_abs=0.0, rms=0.0, gain=0.0)
    assert judged(one_code(1), exact).status is Status.PASS
    assert judged(one_code(2), exact).status is Status.FAIL


LOUD = np.concatenate([VOICE, np.array([1.0, -1.0, 1.7, -3.0, np.inf, 0.0], np.float32)])


def test_codes_that_upstream_would_write_have_no_fault() -> None:
    assert cast_fault(LOUD.reshape(1, 1, -1), to_pcm16(LOUD)) == ""


@pytest.mark.parametrize(
    ("codes", "why"),
    [
        (np.rint(np.clip(LOUD, -1, 1) * 32767).astype(np.int16), "rounded to the nearest code"),
        (np.clip(np.trunc(LOUD * 32768), -32768, 32767).astype(np.int16), "scaled by 32768"),
        (np.clip(np.rint(LOUD * 32768), -32768, 32767).astype(np.int16), "32768 and rounded"),
        (
            np.clip(LOUD * np.float32(32767), -2e9, 2e9).astype(np.int64).astype(np.int16),
            "wrapped instead of clipped",
        ),
    ],
)
def test_another_cast_is_named(codes: np.ndarray, why: str) -> None:
    assert cast_fault(LOUD, codes).endswith(why)


def test_one_code_off_by_one_is_told_with_its_place() -> None:
    told = cast_fault(VOICE, one_code(1))
    assert told.startswith(
        "1 of 48,000 codes are not as upstream casts the floats, by at most 1 LSB, first at "
        "sample 700 ("
    )
    assert told.endswith(")")


def test_nan_and_another_length_are_faults() -> None:
    broken = VOICE.copy()
    broken[9] = np.nan
    assert cast_fault(broken, CODES) == "48,000 codes of 48,000 floats, 1 of them NaN"
    assert cast_fault(VOICE, CODES[:-1]) == "47,999 codes of 48,000 floats, 0 of them NaN"
