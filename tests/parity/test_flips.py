"""Which codes flip in an emulated regime."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.compare import Status
from harness.parity.judges.flips import first_flip, judge_flips
from harness.parity.observation import Spoken
from harness.synthesis.frames import END_AUDIO

MARGINS = {
    "text_decoder or semantic_head": np.full(4, 0.25, np.float32),
    "predict_velocity": np.full((2, 3), 0.125, np.float32),
}
PLAIN = Spoken(10 + np.arange(9).reshape(3, 3), True, np.zeros(3, np.float32), MARGINS)


def changed(*places: tuple[int, int], frames: int = 3) -> Spoken:
    codes = PLAIN.codes[:, :frames].copy()
    for book, frame in places:
        codes[book, frame] += 90
    return dataclasses.replace(PLAIN, codes=codes)


def test_the_same_codes_pass() -> None:
    verdict = judge_flips("tf32", PLAIN, PLAIN)
    assert verdict.status is Status.PASS
    assert verdict.elements == 9
    assert verdict.summary == "in tf32, all 9 codes of 3 frames are the same"


@pytest.mark.parametrize(
    ("emulated", "summary", "decision"),
    [
        (
            changed((2, 1), (0, 2), (1, 2)),
            "in tf32, 3 of 9 codes differ, the first at frame 1, codebook 2: 107 for 17",
            "predict_velocity: a value is rounded. Without the emulation it was 0.12 levels",
        ),
        (
            changed((0, 1), (2, 1)),
            "in tf32, 2 of 9 codes differ, the first at frame 1, codebook 0: 101 for 11",
            "text_decoder or semantic_head: a logit is the greatest. Without the emulation it was "
            "0.25 logits",
        ),
        (
            changed(frames=2),
            "in tf32, 3 of 9 codes differ, the first at frame 2, codebook 0: END_AUDIO for 12",
            "text_decoder or semantic_head",
        ),
    ],
)
def test_the_first_flip_and_its_decision_are_told(
    emulated: Spoken, summary: str, decision: str
) -> None:
    verdict = judge_flips("tf32", emulated, PLAIN)
    assert verdict.status is Status.UNJUDGED
    assert verdict.summary == summary
    assert decision in verdict.notes[0]


def test_speech_that_goes_on_where_the_other_ends_has_another_decision() -> None:
    longer = dataclasses.replace(PLAIN, codes=10 + np.arange(12).reshape(3, 4))
    longer.codes[:, :3] = PLAIN.codes
    verdict = judge_flips("tf32", longer, PLAIN)
    assert "first at frame 3, codebook 0: 13 for END_AUDIO" in verdict.summary


def test_the_first_flip_has_what_is_needed_to_take_the_decision_again() -> None:
    flip = first_flip(changed((2, 1), (0, 2)), PLAIN)
    assert flip is not None
    assert (flip.frame, flip.book, flip.plain, flip.emulated) == (1, 2, 17, 107)
    assert first_flip(PLAIN, PLAIN) is None
    ends = first_flip(changed(frames=2), PLAIN)
    assert ends is not None
    assert (ends.frame, ends.book, ends.plain, ends.emulated) == (2, 0, 12, END_AUDIO)
