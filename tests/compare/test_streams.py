"""Streamed against offline sound: a seam done wrong is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare import Allowance, Status
from harness.compare.streams import judge_streaming

ALLOWED = Allowance(1e-5, 1e-5, 1e-6, source="this test")
SOUND = (0.2 * np.random.default_rng(8).standard_normal(600)).astype(np.float32)


def judged(streamed: np.ndarray, poor: tuple[int, ...] = ()) -> Any:
    return judge_streaming(
        "speech", "streaming", streamed, SOUND, ALLOWED, frame_samples=100, short_of_context=poor
    )


def test_equal_sound_passes() -> None:
    assert judged(SOUND.copy()).status is Status.PASS


def test_a_seam_cropped_one_sample_off_fails() -> None:
    streamed = np.concatenate([SOUND[:300], SOUND[299:599]])
    assert judged(streamed).status is Status.FAIL


def test_frames_without_context_may_differ_and_are_told() -> None:
    streamed = SOUND.copy()
    streamed[200:300] *= -0.5
    assert judged(streamed).status is Status.FAIL
    verdict = judged(streamed, poor=(2,))
    assert verdict.status is Status.PASS
    assert verdict.metrics["frames_without_context"] == 1
    assert verdict.metrics["seam.max_abs"] == pytest.approx(1.5 * np.abs(SOUND[200:300]).max())
    assert "1 frame without context" in verdict.summary


def test_a_burst_at_a_seam_fails() -> None:
    streamed = SOUND.copy()
    streamed[250] = 3.0
    assert judged(streamed, poor=(2,)).status is Status.FAIL


def test_another_length_fails() -> None:
    assert judged(SOUND[:500]).status is Status.FAIL


def test_a_stream_all_of_which_lacks_context_is_not_judged() -> None:
    assert judged(SOUND.copy(), poor=(0, 1, 2, 3, 4, 5)).status is Status.UNJUDGED


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("poor", [(), (2,)])
@pytest.mark.parametrize("both", [False, True])
def test_a_sample_that_is_not_finite_fails(value: float, poor: tuple[int, ...], both: bool) -> None:
    streamed, offline = SOUND.copy(), SOUND.copy()
    streamed[250] = value
    offline[250] = value if both else 0
    verdict = judge_streaming(
        "speech", "streaming", streamed, offline, ALLOWED, frame_samples=100, short_of_context=poor
    )
    assert verdict.status is Status.FAIL
    assert verdict.summary == "1 sample not finite, the first 250"
