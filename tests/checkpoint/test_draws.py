"""Random numbers that are the same everywhere, and of the right kind."""

from __future__ import annotations

import numpy as np
import pytest

from harness.checkpoint.draws import (
    from_bfloat16_bits,
    hadamard_columns,
    normal,
    to_bfloat16_bits,
    uniform,
)


def test_normal_numbers_are_pinned() -> None:
    (values,) = normal(7, "x", (4,), 1.0)
    assert values.tolist() == [
        -0.9197291135787964,
        0.7258723974227905,
        1.0805495977401733,
        -0.7849940657615662,
    ]


def test_normal_has_the_asked_spread() -> None:
    values = np.concatenate(list(normal(7, "x", (1000, 1000), 0.25)))
    assert values.shape == (1000, 1000)
    assert abs(float(values.mean())) < 0.001
    assert abs(float(values.std()) - 0.25) < 0.001


def test_runs_join_to_the_same_numbers_whatever_their_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = np.concatenate(list(normal(7, "x", (64, 8), 1.0)))
    monkeypatch.setattr("harness.checkpoint.draws._CHUNK", 24)
    runs = list(normal(7, "x", (64, 8), 1.0))
    assert len(runs) == 22
    assert np.array_equal(np.concatenate(runs), whole)


def test_each_tensor_and_seed_has_its_own_stream() -> None:
    first = next(normal(7, "x", (100,), 1.0))
    assert not np.array_equal(first, next(normal(7, "y", (100,), 1.0)))
    assert not np.array_equal(first, next(normal(8, "x", (100,), 1.0)))


def test_uniform_stays_within_its_bounds() -> None:
    values = uniform(7, "usage", 10000, 0.5, 20.5)
    assert 0.5 <= values.min() < 0.6
    assert 20.4 < values.max() < 20.5


@pytest.mark.parametrize("rows", [64, 256, 192, 3072])
def test_hadamard_columns_are_orthogonal(rows: int) -> None:
    q = hadamard_columns(7, "basis", rows, 36).astype(np.int64)
    assert np.array_equal(q.T @ q, rows * np.eye(36, dtype=np.int64))


def test_hadamard_columns_refuse_a_width_that_has_none() -> None:
    with pytest.raises(ValueError, match=r"power of two ≥ 36 \(got 96\)"):
        hadamard_columns(7, "basis", 96, 36)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (1.00390625, 0x3F80),  # half-way between 1 and its neighbour: to even, down
        (1.01171875, 0x3F82),  # half-way again: to even, up
        (1.0039063692092896, 0x3F81),  # just above half-way
        (-2.5, 0xC020),
        (0.0, 0x0000),
    ],
)
def test_bfloat16_rounds_to_nearest_even(value: float, bits: int) -> None:
    assert to_bfloat16_bits(np.array([value], np.float32)).tolist() == [bits]


def test_bfloat16_agrees_with_ml_dtypes() -> None:
    import ml_dtypes

    values = np.concatenate(list(normal(7, "x", (5000,), 3.0)))
    expected = values.astype(ml_dtypes.bfloat16)
    assert np.array_equal(to_bfloat16_bits(values), expected.view(np.uint16))
    assert np.array_equal(from_bfloat16_bits(to_bfloat16_bits(values)), expected.astype(np.float32))
