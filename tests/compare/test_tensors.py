"""Each trap that metrics fall into, and the gate that sees it."""

from __future__ import annotations

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compare import Allowance, Status, judge, judge_many, measure

SOURCE = "chosen for these tests"
FP32 = Allowance(1e-5, 1e-5, 1e-5, SOURCE)
LOOSE = Allowance(2.0, 2.0, 2.0, SOURCE)
SIGNAL = np.random.default_rng(7).standard_normal((1, 8, 128)).astype(np.float32)


def smooth(n: int = 24000) -> np.ndarray:
    """A low-pitched tone, on which cosine sees almost nothing."""
    t = np.arange(n) / 24000
    return (0.4 * np.sin(2 * np.pi * 220 * t) + 0.05 * np.sin(2 * np.pi * 3100 * t)).astype("f4")


def test_equal_passes_bit_for_bit() -> None:
    verdict = judge("codec", "speech", SIGNAL.copy(), SIGNAL, FP32)
    assert verdict.status is Status.PASS
    assert verdict.summary == "1,024 elements, all equal bit for bit"
    assert verdict.elements == 1024


def test_rounding_noise_passes_with_its_headroom() -> None:
    candidate = SIGNAL.copy()
    candidate[0, 3, 5] += np.float32(1e-6)
    verdict = judge("codec", "speech", candidate, SIGNAL, FP32)
    assert verdict.status is Status.PASS
    assert 0.01 < verdict.headroom_used < 0.1
    assert verdict.summary.startswith("greatest difference 1.0e-6 at (0, 3, 5), up to 3.3e-5")


def test_one_wrong_element_fails_and_is_found() -> None:
    candidate = SIGNAL.copy()
    candidate[0, 7, 12] += np.float32(3e-4)
    verdict = judge("codec", "speech", candidate, SIGNAL, FP32)
    assert verdict.status is Status.FAIL
    assert verdict.summary.startswith("greatest difference 3.0e-4 at (0, 7, 12), up to 3.")
    assert verdict.metrics["worst_index"] == (0, 7, 12)


def test_halved_gain_fails_though_cosine_is_one() -> None:
    verdict = judge("codec", "speech", SIGNAL / 2, SIGNAL, dataclasses.replace(LOOSE, gain=0.01))
    assert verdict.metrics["cosine"] == pytest.approx(1.0, abs=1e-12)
    assert [gate.name for gate in verdict.failed_gates] == ["gain error"]
    assert verdict.metrics["gain"] == 0.5


def test_two_tap_low_pass_fails_though_cosine_is_high() -> None:
    signal = smooth()
    candidate = (signal + np.roll(signal, 1)) / 2
    verdict = judge("codec", "speech", candidate, signal, FP32)
    assert verdict.metrics["cosine"] > 0.99
    assert verdict.status is Status.FAIL


def test_dropped_start_fails_though_cosine_is_high() -> None:
    signal = smooth()
    candidate = signal.copy()
    candidate[:160] = 0
    verdict = judge("codec", "speech", candidate, signal, FP32)
    assert verdict.metrics["cosine"] > 0.99
    assert verdict.status is Status.FAIL


def test_silence_fails_with_snr_zero() -> None:
    verdict = judge("codec", "speech", SIGNAL * 0, SIGNAL, FP32)
    assert verdict.status is Status.FAIL
    assert verdict.metrics["snr_db"] == 0


def test_nan_in_the_candidate_fails_and_is_found() -> None:
    candidate = SIGNAL.copy()
    candidate[0, 2, 9] = candidate[0, 5, 0] = np.nan
    verdict = judge("codec", "speech", candidate, SIGNAL, LOOSE)
    assert verdict.status is Status.FAIL
    assert verdict.summary.startswith(
        "2 of 1,024 elements differ in being finite (2 NaN), first at (0, 2, 9): expected "
    )
    assert verdict.summary.endswith(", got NaN")


def test_masked_logits_must_be_masked_alike() -> None:
    reference = SIGNAL[0].copy()
    reference[:, 3] = -np.inf
    moved = SIGNAL[0].copy()
    moved[:, 4] = -np.inf
    masked = dataclasses.replace(LOOSE, masked=True)
    assert judge("semantic_head", "a", reference.copy(), reference, masked).status is Status.PASS
    verdict = judge("semantic_head", "a", moved, reference, masked)
    assert verdict.status is Status.FAIL
    assert "first at (0, 3): expected -inf" in verdict.summary


def test_an_unmasked_entry_fails() -> None:
    reference = SIGNAL[0].copy()
    reference[:, 3] = -np.inf
    masked = dataclasses.replace(LOOSE, masked=True)
    assert judge("semantic_head", "a", SIGNAL[0], reference, masked).status is Status.FAIL


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reference_that_is_not_finite_is_unjudged(bad: float) -> None:
    reference = SIGNAL.copy()
    reference[0, 1, 1] = bad
    verdict = judge("codec", "speech", reference.copy(), reference, FP32)
    assert verdict.status is Status.UNJUDGED
    assert "the reference itself is not finite" in verdict.summary
    assert "at (0, 1, 1), 1 element in all" in verdict.summary


def test_plus_infinity_is_bad_even_where_minus_infinity_is_a_mask() -> None:
    reference = SIGNAL.copy()
    reference[0, 1, 1] = np.inf
    masked = dataclasses.replace(FP32, masked=True)
    assert judge("semantic_head", "a", reference, reference, masked).status is Status.UNJUDGED


def test_nothing_against_nothing_is_unjudged() -> None:
    assert judge_many("codec", "speech", [], FP32).status is Status.UNJUDGED
    empty = np.zeros((1, 0, 128), np.float32)
    verdict = judge("codec", "speech", empty, empty, FP32)
    assert verdict.status is Status.UNJUDGED
    assert verdict.summary == "nothing was compared: no element"


def test_everything_masked_is_unjudged() -> None:
    mask = np.full((1, 4), -np.inf, np.float32)
    verdict = judge("semantic_head", "a", mask, mask, dataclasses.replace(FP32, masked=True))
    assert verdict.status is Status.UNJUDGED
    assert verdict.summary == "nothing was compared: no finite element"


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_constant_reference_is_unjudged(value: float) -> None:
    reference = np.full((1, 16), value, np.float32)
    verdict = judge("codec", "speech", reference, reference, FP32)
    assert verdict.status is Status.UNJUDGED
    assert verdict.summary.startswith("the reference is constant")


def test_another_dtype_fails() -> None:
    verdict = judge("codec", "speech", SIGNAL.astype(ml_dtypes.bfloat16), SIGNAL, LOOSE)
    assert verdict.status is Status.FAIL
    assert verdict.summary == "expected float32 1×8×128, got bfloat16 1×8×128"


def test_another_shape_fails_even_if_it_broadcasts() -> None:
    verdict = judge("codec", "speech", SIGNAL[0], SIGNAL, LOOSE)
    assert verdict.status is Status.FAIL
    assert verdict.summary == "expected float32 1×8×128, got float32 8×128"


def test_an_empty_candidate_fails() -> None:
    assert judge("codec", "speech", SIGNAL[:, :0], SIGNAL, LOOSE).status is Status.FAIL


def test_allowing_nothing_means_exact() -> None:
    exact = Allowance(0, 0, 0, SOURCE)
    candidate = SIGNAL.copy()
    assert judge("token_embedding", "a", candidate, SIGNAL, exact).status is Status.PASS
    candidate[0, 0, 0] = np.nextafter(candidate[0, 0, 0], np.float32(9))
    assert judge("token_embedding", "a", candidate, SIGNAL, exact).status is Status.FAIL


def test_the_least_allowance_would_have_passed_and_less_would_not() -> None:
    candidate = SIGNAL + np.random.default_rng(8).normal(0, 1e-3, SIGNAL.shape).astype(np.float32)
    pairs = [(candidate[:, k], SIGNAL[:, k]) for k in range(8)]
    found = judge_many("codec", "speech", pairs, FP32).metrics
    least = Allowance(found["least_max_abs"], found["least_rms"], found["least_gain"], SOURCE)
    assert judge_many("codec", "speech", pairs, least).status is Status.PASS
    for name in ("max_abs", "rms", "gain"):
        less = dataclasses.replace(least, **{name: math.nextafter(getattr(least, name), 0)})
        assert judge_many("codec", "speech", pairs, less).status is Status.FAIL


def decode_steps(n: int = 300) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(11)
    steps = [random.standard_normal((1, 1, 64)).astype(np.float32) for _ in range(n)]
    return [(step + np.float32(1e-7), step) for step in steps]


def test_three_hundred_good_calls_pass() -> None:
    verdict = judge_many("text_decoder", "speech", decode_steps(), FP32)
    assert verdict.status is Status.PASS
    assert verdict.elements == 300 * 64
    assert verdict.metrics["calls"] == 300


def test_one_bad_call_among_three_hundred_is_not_averaged_away() -> None:
    pairs = decode_steps()
    step = pairs[217][1]
    pairs[217] = (step * np.float32(0.9), step)
    # Over all calls the RMS error is 0.1/√300 = 0.0058 and the gain 1 − 0.1/300: both pass.
    verdict = judge_many("text_decoder", "speech", pairs, Allowance(1.0, 0.01, 0.01, SOURCE))
    assert verdict.status is Status.FAIL
    assert [(gate.name, gate.where) for gate in verdict.failed_gates] == [
        ("RMS error, worst call", "call 217"),
        ("gain error, worst call", "call 217"),
    ]
    assert verdict.metrics["worst_index"][0] == 217


def test_one_nan_call_among_three_hundred_fails() -> None:
    pairs = decode_steps()
    pairs[41] = (pairs[41][1] * np.float32(np.nan), pairs[41][1])
    verdict = judge_many("text_decoder", "speech", pairs, LOOSE)
    assert verdict.status is Status.FAIL
    assert "(64 NaN), first at call 41, (0, 0, 0)" in verdict.summary


def test_one_call_of_another_shape_fails() -> None:
    pairs = decode_steps(5)
    pairs[2] = (pairs[2][0][:, :, :32], pairs[2][1])
    verdict = judge_many("text_decoder", "speech", pairs, LOOSE)
    assert verdict.status is Status.FAIL
    assert verdict.summary == (
        "expected float32 1×1×64, got float32 1×1×32 in 1 of 5 calls, first call 2"
    )


def test_a_constant_call_among_varying_ones_is_fine() -> None:
    pairs = decode_steps(5)
    zeros, ones = np.zeros((1, 1, 64), np.float32), np.ones((1, 1, 64), np.float32)
    verdict = judge_many("text_decoder", "a", [*pairs, (zeros, zeros), (ones, ones)], FP32)
    assert verdict.status is Status.PASS


def test_an_error_on_an_all_zero_call_fails() -> None:
    zeros = np.zeros((1, 1, 64), np.float32)
    verdict = judge_many("text_decoder", "a", [*decode_steps(5), (zeros + 1e-6, zeros)], LOOSE)
    assert verdict.status is Status.FAIL  # float64 candidate
    verdict = judge_many(
        "text_decoder", "a", [*decode_steps(5), (zeros + np.float32(1e-6), zeros)], LOOSE
    )
    assert [gate.name for gate in verdict.failed_gates] == ["RMS error, worst call"]


def test_calls_that_are_constant_together_are_unjudged() -> None:
    ones = np.ones((1, 1, 64), np.float32)
    verdict = judge_many("text_decoder", "a", [(ones, ones)] * 3, FP32)
    assert verdict.status is Status.UNJUDGED


def test_overflow_in_a_metric_never_passes() -> None:
    huge = np.array([1e300, -1e300, 3e299])
    assert judge("codec", "a", -huge, huge, LOOSE).status is Status.FAIL


@pytest.mark.parametrize(
    "fields", [{"max_abs": -1e-9}, {"rms": math.nan}, {"gain": math.inf}, {"source": " "}]
)
def test_an_allowance_is_finite_and_says_its_source(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"Allowance.{next(iter(fields))}"):
        dataclasses.replace(FP32, **fields)


@settings(deadline=None)  # a busy machine is slow, not wrong
@given(st.sets(st.integers(0, 1023), min_size=1, max_size=20), st.integers(0, 20))
def test_a_candidate_with_nan_never_passes(positions: set[int], call: int) -> None:
    broken = SIGNAL.copy()
    broken.reshape(-1)[sorted(positions)] = np.nan
    pairs = [(SIGNAL, SIGNAL)] * 20
    pairs.insert(call, (broken, SIGNAL))
    for verdict in (
        judge("codec", "a", broken, SIGNAL, LOOSE),
        judge_many("codec", "a", pairs, LOOSE),
    ):
        assert verdict.status is Status.FAIL


@settings(deadline=None)  # a busy machine is slow, not wrong
@given(st.floats(-1, 1, width=32), st.integers(0, 1023))
def test_max_abs_gate_is_exact_at_its_limit(error: float, at: int) -> None:
    candidate = SIGNAL.copy()
    candidate.reshape(-1)[at] += np.float32(error)
    limit = measure(candidate, SIGNAL).max_abs_scaled
    assert judge("a", "b", candidate, SIGNAL, Allowance(limit, 9, 9, SOURCE)).status is Status.PASS
    if limit:
        less = Allowance(math.nextafter(limit, 0), 9, 9, SOURCE)
        assert judge("a", "b", candidate, SIGNAL, less).status is Status.FAIL
