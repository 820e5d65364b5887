"""A single number has no axis, whatever it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness.arrays import BFLOAT16, Array, as_array
from harness.parity.archive import load, save


@dataclass(frozen=True)
class Held:
    value: Array


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_a_number_stays_a_number(dtype: str, tmp_path: Path) -> None:
    number = as_array(1, dtype)
    assert number.shape == ()
    save(tmp_path / "held", Held(number))
    back = load(tmp_path / "held", Held).value
    assert back.shape == ()
    assert back.dtype == number.dtype
    assert back == number


def test_what_is_read_backwards_becomes_contiguous(tmp_path: Path) -> None:
    backwards = np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1]
    assert as_array(backwards, "bfloat16").flags.c_contiguous
    assert as_array(backwards, "bfloat16").dtype == BFLOAT16
    save(tmp_path / "held", Held(backwards))
    assert np.array_equal(load(tmp_path / "held", Held).value, backwards)
