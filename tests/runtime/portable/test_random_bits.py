"""Random bits are MLX's own, as far as its Python package lets one see them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import ExecutionError
from harness.runtime.portable.blas import mx
from harness.runtime.portable.ops_shape import random_bits


def test_an_even_count_is_that_of_split() -> None:
    # mx.random.split(key, n) is bits of shape (n, 2).
    expected = np.array(mx.random.split(mx.random.key(5), 9))
    assert np.array_equal(np.array(random_bits((9, 2), 4, 5)), expected)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_any_count_is_that_of_uniform(count: int) -> None:
    # mx.random.uniform in float32 is bits / (2**32 - 1), held below 1.
    expected = np.array(mx.random.uniform(shape=(count,), key=mx.random.key(5)))
    got = np.array(random_bits((count,), 4, 5)).astype(np.float32) / np.float32(2**32 - 1)
    assert np.allclose(got, expected, rtol=0, atol=2**-23)


def test_a_negative_seed_is_widened_with_its_sign() -> None:
    expected = np.array(mx.random.split(mx.random.key(2**64 - 3), 2))
    assert np.array_equal(np.array(random_bits((2, 2), 4, -3)), expected)


def test_narrow_elements_share_words() -> None:
    words = np.array(random_bits((6,), 4, 1))
    assert np.array_equal(np.array(random_bits((24,), 1, 1)), words.view(np.uint8))
    assert random_bits((3, 5), 2, 1).dtype == mx.uint16


def test_without_a_seed_the_numbers_are_new() -> None:
    assert random_bits((8,), 4, None).tolist() != random_bits((8,), 4, None).tolist()


def test_other_widths_are_refused() -> None:
    with pytest.raises(ExecutionError, match=r"1, 2 or 4 bytes \(got 8\)"):
        random_bits((2,), 8, 1)
