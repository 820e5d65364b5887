"""Signal to quantisation noise against its floor."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from harness.compare import Status, Verdict
from harness.compare.sqnr import judge_sqnr

WIDE = np.random.default_rng(0).standard_normal(4096).astype(np.float32)


def judged(narrow: np.ndarray, floor: float = 20.0) -> Verdict:
    return judge_sqnr("codec", "4w weights vs fp32", [(narrow, WIDE)], floor, "measured")


def noisy(decibels: float) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(WIDE.size)
    noise *= np.linalg.norm(WIDE) / np.linalg.norm(noise)
    return (WIDE + noise * 10 ** (-decibels / 20)).astype(np.float32)


@pytest.mark.parametrize(("decibels", "status"), [(20.1, Status.PASS), (19.9, Status.FAIL)])
def test_the_floor_decides(decibels: float, status: Status) -> None:
    verdict = judged(noisy(decibels))

    assert verdict.status is status
    assert verdict.metrics["sqnr_db"] == pytest.approx(decibels, abs=1e-3)


def test_the_summary_names_what_was_kept_and_what_is_asked() -> None:
    assert judged(noisy(23)).summary == ("SQNR 23.0 dB, at least 20 dB asked; worst call 23.0 dB")


def test_types_may_differ() -> None:
    assert judged(WIDE.astype(ml_dtypes.bfloat16), 45.0).status is Status.PASS


def test_silence_has_no_signal_left() -> None:
    assert judged(np.zeros_like(WIDE), 1.0).status is Status.FAIL


def test_nan_fails() -> None:
    narrow = WIDE.copy()
    narrow[7] = np.nan

    verdict = judged(narrow)

    assert verdict.status is Status.FAIL
    assert verdict.summary.endswith("1 element finite on one side only")


def test_an_infinite_floor_asks_for_equality() -> None:
    almost = WIDE.copy()
    almost[0] = np.nextafter(almost[0], 10)

    assert judged(WIDE, math.inf).status is Status.PASS
    assert judged(almost, math.inf).status is Status.FAIL


def test_no_calls_are_not_judged() -> None:
    assert judge_sqnr("codec", "bf16 vs fp32", [], 20, "measured").status is Status.UNJUDGED
