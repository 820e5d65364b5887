"""Every method of the tiny checkpoint equals eager; `pytest -k codec` picks one method."""

from __future__ import annotations

import pytest

from fixtures.exports import Line
from harness.budget import COMMITTED
from harness.compare import Status
from harness.methods import METHODS, Method


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_method_equals_eager(method: Method, best: Line) -> None:
    verdicts = best.verdicts(method)

    assert [f"{v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS] == []
    assert {"delegation", "constants", "speech"} < {v.case for v in verdicts}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_allowance_is_within_ten_times_what_is_measured(method: Method, parity: Line) -> None:
    """A gate looser than that would let a small fault of a new export through."""
    used = max(v.headroom_used for v in parity.verdicts(method) if v.kind in ("tensor", "waveform"))

    allowance = COMMITTED.of("mlx", "fp32", method.name)
    assert allowance is not None
    assert used == 0 if allowance.max_abs == 0 else 0.05 <= used <= 1
