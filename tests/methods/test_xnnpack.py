"""What is allowed on XNNPACK is what was measured there, and nothing is allowed unmeasured."""

from __future__ import annotations

import pytest

from harness.methods.xnnpack import allowances


def test_bf16_is_allowed_four_times_what_was_measured() -> None:
    allowed = allowances("text_decoder")["xnnpack/bf16"]

    assert (allowed.max_abs, allowed.rms, allowed.gain) == pytest.approx((0.044, 0.0188, 4.8e-4))


def test_a_lookup_stays_exact_in_bf16() -> None:
    assert allowances("token_embedding")["xnnpack/bf16"].max_abs == 0


@pytest.mark.parametrize("method", ["text_decoder", "codec"])
def test_what_was_not_measured_has_no_allowance(method: str) -> None:
    assert "xnnpack/bf16-4w8w" not in allowances(method)
    assert ("xnnpack/bf16" in allowances(method)) == (method != "codec")
