from __future__ import annotations

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest
import scipy.signal

from harness.compare import (
    Allowance,
    Status,
    judge_waveform,
    levels,
    to_pcm16,
)
from harness.errors import InputError

RATE = 24000
FP32 = Allowance(1e-5, 1e-5, 1e-5, "chosen for these tests")
LOOSE = Allowance(2.0, 2.0, 2.0, "chosen for these tests")
NOISE = (0.1 * np.random.default_rng(13).standard_normal(2 * RATE)).astype(np.float32)


def test_pcm_clamps_scales_by_32767_and_drops_the_fraction() -> None:
    x = np.array([0.0, 1.0, -1.0, 1.7, -np.inf, 0.5, -0.5, 1e-5, -4e-5], np.float32)
    codes = to_pcm16(x)
    assert codes.dtype == np.int16
    assert codes.tolist() == [0, 32767, -32767, 32767, -32767, 16383, -16383, 0, -1]


def test_pcm_multiplies_in_float32() -> None:
    # The product 16127.999985 rounds up to the float32 16128 before the fraction goes.
    x = np.float32(16128 / 32767)
    assert int(float(x) * 32767) == 16127
    assert to_pcm16(np.array([x])).tolist() == [16128]


def test_pcm_of_bfloat16() -> None:
    assert to_pcm16(np.array([0.5], ml_dtypes.bfloat16)).tolist() == [16383]


def test_pcm_of_nan_is_refused() -> None:
    with pytest.raises(InputError, match="first at sample 1"):
        to_pcm16(np.array([0.0, np.nan]))


def test_levels_of_a_full_scale_square_wave() -> None:
    found = levels(np.tile([1.0, -1.0], 50))
    assert found.peak == 1
    assert found.peak_dbfs == found.rms_dbfs == 0
    assert found.clipped == found.longest_clip_run == 100
    assert found.dc == 0
    assert found.dc_dbfs == -math.inf


def test_levels_of_a_half_scale_offset_sine() -> None:
    x = 0.5 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE) + 0.01
    found = levels(x[None, None])
    assert found.peak == pytest.approx(0.51)
    assert found.rms_dbfs == pytest.approx(-9.03, abs=0.01)
    assert found.dc == pytest.approx(0.01)
    assert found.dc_dbfs == pytest.approx(-40)


def test_clip_runs_on_both_sides_of_the_cast() -> None:
    x = np.array([0.2, 1.0, -1.3, 1.0, 0.99999, 1.0, 0.0], np.float32)
    for signal in (x, to_pcm16(x)):
        assert levels(signal).clipped == 4
        assert levels(signal).longest_clip_run == 3


def test_the_lowest_code_is_clipped_too() -> None:
    assert levels(np.array([-32768, 5], np.int16)).clipped == 1


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.zeros((1, 1, 0), np.float32), "without samples"),
        (np.array([0.1, np.nan]), "sample 1 is nan"),
        (np.array([np.inf]), "sample 0 is inf"),
        (np.array([1], np.int64), "float or int16"),
    ],
)
def test_levels_of_what_is_no_waveform(x: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        levels(x)


def test_an_equal_waveform_passes_with_levels_of_all_four() -> None:
    verdict = judge_waveform("codec", "speech", NOISE.copy(), NOISE, FP32, RATE)
    assert verdict.status is Status.PASS
    assert verdict.kind == "waveform"
    for prefix in ("candidate.float", "candidate.pcm16", "reference.float", "reference.pcm16"):
        assert -20.1 < verdict.metrics[f"{prefix}.rms_dbfs"] < -19.9
        assert verdict.metrics[f"{prefix}.clipped"] == 0


def test_a_step_of_one_code_passes_and_two_fail() -> None:
    step = np.float32(1 / 32767)
    near, far = NOISE.copy(), NOISE.copy()
    near[100] += step
    far[100] += 2 * step
    assert judge_waveform("codec", "a", near, NOISE, LOOSE, RATE).status is Status.PASS
    verdict = judge_waveform("codec", "a", far, NOISE, LOOSE, RATE)
    assert verdict.status is Status.FAIL
    assert verdict.summary.endswith("; 16-bit codes differ by 2, up to 1 allowed")
    assert judge_waveform("codec", "a", far, NOISE, LOOSE, RATE, pcm_lsb=2).status is Status.PASS


def test_rounding_decides_which_samples_of_a_loud_sound_clip() -> None:
    reference = NOISE.copy()
    reference[7] = 0.99999
    candidate = reference.copy()
    candidate[7] = 1.0
    verdict = judge_waveform("codec", "a", candidate, reference, LOOSE, RATE)
    assert verdict.status is Status.PASS
    told = [verdict.metrics[f"{side}.float.clipped"] for side in ("candidate", "reference")]
    assert told == [1, 0]
    candidate[7] = 1.1  # whose code is full scale, too
    tight = dataclasses.replace(LOOSE, max_abs=0.05)
    assert judge_waveform("codec", "a", candidate, reference, tight, RATE).status is Status.FAIL


def test_a_shorter_waveform_fails_and_says_by_how_much() -> None:
    verdict = judge_waveform("codec", "a", NOISE[:-240], NOISE, LOOSE, RATE)
    assert verdict.status is Status.FAIL
    assert [(gate.name, gate.value) for gate in verdict.failed_gates] == [("samples", 240)]


def test_halved_low_passed_and_late_waveforms_fail() -> None:
    low = scipy.signal.lfilter([0.5, 0.5], [1], NOISE).astype(np.float32)
    for candidate in (NOISE / 2, low, np.roll(NOISE, 1)):
        assert judge_waveform("codec", "a", candidate, NOISE, FP32, RATE).status is Status.FAIL


def test_nan_in_a_waveform_fails_without_levels_of_it() -> None:
    candidate = NOISE.copy()
    candidate[31] = np.nan
    verdict = judge_waveform("codec", "a", candidate, NOISE, LOOSE, RATE)
    assert verdict.status is Status.FAIL
    assert "first at (31)" in verdict.summary
    assert "candidate.float.peak" not in verdict.metrics
    assert "reference.pcm16.peak" in verdict.metrics


def test_a_silent_reference_is_unjudged() -> None:
    silence = np.zeros(RATE, np.float32)
    assert judge_waveform("codec", "a", silence, silence, FP32, RATE).status is Status.UNJUDGED
