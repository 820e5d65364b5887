"""The flow's noise, against a C program of the same generator (glibc, x86-64)."""

from __future__ import annotations

import numpy as np
import pytest

from harness.synthesis import FlowNoise


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (42, [-4.44757032, 0.608476818, -1.46980774, -0.868334293, -0.509428442, 0.757349432]),
        (0, [-0.322720885, -1.45619106, -0.694080353, -1.26631236, -0.399096072, 1.21847892]),
    ],
)
def test_noise_is_the_runners(seed: int, expected: list[float]) -> None:
    noise = FlowNoise(seed).normal(6)
    assert noise.dtype == np.float32
    np.testing.assert_array_max_ulp(noise, np.array(expected, np.float32), maxulp=1)


def test_noise_goes_on_where_it_stopped() -> None:
    noise = FlowNoise(42)
    joined = np.concatenate([noise.normal(36), noise.normal(36)])
    assert np.array_equal(joined, FlowNoise(42).normal(72))


def test_noise_is_standard_normal() -> None:
    noise = FlowNoise(7).normal(20000)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
