"""What is allowed on XNNPACK is what was measured there, and nothing is allowed unmeasured."""

from __future__ import annotations

import pytest

from harness.budget.xnnpack import ALLOWANCES
from harness.methods import METHODS
from harness.methods.precision import PRECISIONS


def test_bf16_is_allowed_four_times_what_was_measured() -> None:
    allowed = ALLOWANCES["bf16"]["text_decoder"]

    assert (allowed.max_abs, allowed.rms, allowed.gain) == pytest.approx((0.068, 0.056, 2.36e-3))


def test_a_lookup_stays_exact_in_bf16() -> None:
    assert ALLOWANCES["bf16"]["token_embedding"].max_abs == 0


def test_quantised_weights_are_allowed_four_times_what_was_measured() -> None:
    allowed = ALLOWANCES["bf16-4w8w"]["predict_velocity"]

    assert (allowed.max_abs, allowed.rms, allowed.gain) == pytest.approx((0.0224, 0.084, 0.018))
    assert "XNNPACK in bf16-4w8w" in allowed.source


def test_every_named_precision_was_measured_and_no_other() -> None:
    assert set(ALLOWANCES) == set(PRECISIONS)
    for table in ALLOWANCES.values():
        assert set(table) == {method.name for method in METHODS}


def test_the_codec_is_one_file_in_bf16_and_in_what_ships() -> None:
    assert ALLOWANCES["bf16"]["codec"].max_abs == ALLOWANCES["bf16-4w8w"]["codec"].max_abs == 0.128
