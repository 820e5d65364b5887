from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compare import TensorMetrics, measure
from harness.compare.metrics import beyond, difference, reduce_call, total
from harness.errors import InputError

RNG = np.random.default_rng(3)
SIGNAL = RNG.standard_normal((2, 5, 64)).astype(np.float32)


def test_hand_computed_example() -> None:
    reference = np.array([[1.0, -2.0], [4.0, 0.0]], np.float32)
    candidate = np.array([[1.0, -2.5], [4.0, 0.25]], np.float32)
    found = measure(candidate, reference)
    assert found.shape == (2, 2)
    assert found.dtype == "float32"
    assert found.elements == found.size == 4
    assert found.bit_equal == 2
    assert found.max_abs == 0.5
    assert found.worst_index == (0, 1)
    assert found.scale == 4.0
    assert found.max_abs_scaled == 0.125
    assert found.max_rel == 0.25
    assert found.rms_error == pytest.approx(math.sqrt(0.3125 / 4))
    assert found.reference_rms == pytest.approx(math.sqrt(21 / 4))
    assert found.cosine == pytest.approx(22 / math.sqrt(21 * 23.3125))
    assert found.snr_db == pytest.approx(10 * math.log10(21 / 0.3125))
    assert found.gain == pytest.approx(22 / 21)


def test_exact_has_infinite_snr() -> None:
    found = measure(SIGNAL, SIGNAL.copy())
    assert found.snr_db == math.inf
    assert found.max_abs == 0
    assert found.gain == 1
    assert found.bit_equal == 640


def test_silence_has_snr_zero() -> None:
    assert measure(np.zeros_like(SIGNAL), SIGNAL).snr_db == 0


def test_a_zero_reference_does_not_make_the_relative_error_explode() -> None:
    reference = np.array([0.0, 2.0], np.float32)
    found = measure(np.array([1e-9, 2.002], np.float32), reference)
    assert found.max_rel == pytest.approx(1e-3, rel=1e-3)


def test_signed_zeros_differ_in_bits_alone() -> None:
    found = measure(np.array([-0.0, 1.0]), np.array([0.0, 1.0]))
    assert found.bit_equal == 1
    assert found.max_abs == 0


def test_non_finite_entries_are_counted_and_left_out() -> None:
    reference = np.array([-np.inf, 1.0, 2.0])
    found = measure(np.array([-np.inf, np.nan, 2.5]), reference)
    assert found.reference_finite == 2
    assert found.candidate_finite == 1
    assert found.elements == 1
    assert found.max_abs == 0.5
    assert found.worst_index == (2,)


def test_scalars_and_bfloat16_and_integers_can_be_measured() -> None:
    assert measure(np.float32(2.0), np.float32(1.5)).worst_index == ()
    half = SIGNAL.astype(ml_dtypes.bfloat16)
    assert measure(half, half).bit_equal == 640
    assert measure(half, half).dtype == "bfloat16"
    assert measure(np.array([1, 2]), np.array([1, 5])).max_abs == 3


def test_nothing_has_no_metrics() -> None:
    found = measure(np.zeros((0, 3)), np.zeros((0, 3)))
    assert found.elements == 0
    assert found.worst_index is None
    assert math.isnan(found.snr_db)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"candidate \(2,\), reference \(3,\)"):
        measure(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([1j]), np.array([None])])
def test_only_real_numbers_are_measured(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="only real numbers"):
        measure(values, values)


@settings(deadline=None)  # a busy machine is slow, not wrong
@given(st.floats(1e-6, 1e3), st.integers(0, 639))
def test_scaling_the_error_scales_max_abs(factor: float, at: int) -> None:
    reference = SIGNAL.astype(np.float64)
    error = np.zeros(640)
    error[at] = 0.5
    error = error.reshape(reference.shape)
    once, scaled = (
        measure(reference + error, reference),
        measure(reference + factor * error, reference),
    )
    assert scaled.max_abs == pytest.approx(factor * once.max_abs, rel=1e-6)
    assert scaled.rms_error == pytest.approx(factor * once.rms_error, rel=1e-6)
    assert scaled.worst_index == once.worst_index == np.unravel_index(at, (2, 5, 64))


def totals(pairs: list[tuple[np.ndarray, np.ndarray]]) -> TensorMetrics:
    return total([reduce_call(candidate, reference) for candidate, reference in pairs])


@settings(deadline=None)  # a busy machine is slow, not wrong
@given(st.permutations(range(6)))
def test_permuting_calls_keeps_totals(order: list[int]) -> None:
    random = np.random.default_rng(5)
    pairs = [
        (random.standard_normal((1, n, 7)), random.standard_normal((1, n, 7)))
        for n in (11, 1, 1, 2, 1, 3)
    ]
    straight, permuted = totals(pairs), totals([pairs[k] for k in order])
    for name in ("elements", "max_abs", "max_rel", "rms_error", "cosine", "snr_db", "gain"):
        assert getattr(straight, name) == getattr(permuted, name)
    assert order[permuted.worst_index[0]] == straight.worst_index[0]
    assert permuted.worst_index[1:] == straight.worst_index[1:]


def test_many_calls_are_measured_as_one_tensor() -> None:
    candidate = SIGNAL + RNG.normal(0, 1e-3, SIGNAL.shape).astype(np.float32)
    whole = measure(candidate, SIGNAL)
    split = totals([(candidate[k], SIGNAL[k]) for k in range(2)])
    assert split.shapes == ((5, 64),)
    assert split.calls == 2
    assert split.worst_index == whole.worst_index
    for name in ("max_abs", "rms_error", "snr_db", "gain", "cosine", "scale"):
        assert getattr(split, name) == pytest.approx(getattr(whole, name), rel=1e-12)


@pytest.mark.parametrize("mask", [-1e9, float(np.finfo(np.float32).min), np.finfo(np.float64).min])
def test_a_mask_hides_no_difference_of_others(mask: float) -> None:
    meant = np.array([[1.0, -2.0, 0.0, mask], [4.0, 3.0, mask, mask]])
    made = meant.copy()
    assert beyond(meant).tolist() == (meant == mask).tolist()
    assert difference(made, meant)[0] == 0
    made[0, 1] = 2
    assert difference(made, meant) == (1.0, (0, 1))
    made = np.where(meant == mask, mask / 2, meant)
    assert difference(made, meant) == (0.5, (0, 3))


@pytest.mark.parametrize(
    "values", [[0, 0, 2e4, 3e4], [1e-12, 1.0], [1.0, 9e3], [1.0, math.inf, math.nan], [1e9] * 3, []]
)
def test_what_is_no_mask(values: list[float]) -> None:
    assert not beyond(np.array(values)).any()


def test_noise_beside_a_great_value_is_noise() -> None:
    assert difference(np.array([3e-12, 2e4]), np.array([1e-12, 2e4]))[0] < 1e-7
