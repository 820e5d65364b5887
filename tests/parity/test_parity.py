"""Every method of the tiny checkpoint equals eager; `pytest -k codec` picks one method."""

from __future__ import annotations

import pytest

from fixtures.exports import Line as Parity
from harness.compare import Status
from harness.methods import METHODS, Method


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_method_equals_eager(method: Method, best: Parity) -> None:
    verdicts = best.judge(method)

    assert [f"{v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS] == []
    assert {"delegation", "speech"} < {v.case for v in verdicts}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_allowance_is_within_ten_times_what_is_measured(method: Method, parity: Parity) -> None:
    """A gate looser than that would let a small fault of a new export through."""
    used = max(v.headroom_used for v in parity.judge(method) if v.kind in ("tensor", "waveform"))

    exact = method.allowances["fp32"].max_abs == 0
    assert used == 0 if exact else 0.05 <= used <= 1
