"""Codes against eager's decisions along the same codes: ties told from faults."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from harness.budget import DecisionAllowance
from harness.compare import Status, Verdict
from harness.parity.evidence import Evidence
from harness.parity.judges.codes import judge_codes, judge_decisions
from harness.parity.judges.speech import judge_repeat, judge_speech
from harness.parity.observation import By, Observation, Refusal, Spoken
from harness.synthesis import Followed

ALLOWED = DecisionAllowance(logits=1e-3, levels=1e-2, rms_levels=1e-3, source="this test")
FRAMES, BOOKS = 6, 37


def said(**changes: Any) -> Spoken:
    codes = np.random.default_rng(11).integers(2, 20, (BOOKS, FRAMES))
    return dataclasses.replace(Spoken(codes, True, np.zeros(4, np.float32)), **changes)


def followed(spoken: Spoken, **changes: Any) -> Followed:
    frames = spoken.codes.shape[1]
    made = Followed(
        spoken.codes,
        spoken.ended,
        frames,
        np.zeros(frames + spoken.ended, np.float32),
        np.zeros((BOOKS - 1, frames), np.float32),
        np.zeros(4, np.float32),
        (spoken.codes[1:] - 2).astype(np.float32),
        np.ones(frames + spoken.ended, np.float32),
    )
    return dataclasses.replace(made, **changes)


def at(shape: Any, place: Any, value: float) -> np.ndarray:
    made = np.zeros(shape, np.float32)
    made[place] = value
    return made


@pytest.fixture(scope="module")
def judged(tiny_line: Line) -> Any:
    def judge(spoken: Spoken, eager: Followed | None, allowance: Any = ALLOWED) -> Verdict:
        return judge_codes(tiny_line.plan, tiny_line.evidence, spoken, eager, allowance)

    return judge


def test_equal_decisions_pass(judged: Any) -> None:
    verdict = judged(said(), followed(said()))
    assert verdict.status is Status.PASS
    assert verdict.summary == ("all 223 decisions of 6 frames are eager's, ended by END_AUDIO")


def test_a_rounding_tie_passes_and_is_told(judged: Any) -> None:
    verdict = judged(said(), followed(said(), beyond=at((BOOKS - 1, FRAMES), (1, 3), 0.004)))
    assert verdict.status is Status.PASS
    assert "1 of 223 decisions are not eager's, all of them ties" in verdict.summary
    (gate,) = (gate for gate in verdict.gates if gate.name == "acoustic decision")
    assert gate.where == "frame 3, codebook 2"


@pytest.mark.parametrize("moved", [0.5, np.nan, np.inf])
def test_a_value_that_lies_elsewhere_is_a_fault(judged: Any, moved: float) -> None:
    beyond = at((BOOKS - 1, FRAMES), (1, 3), moved)
    assert judged(said(), followed(said(), beyond=beyond)).status is Status.FAIL


def test_many_small_moves_are_a_fault(judged: Any) -> None:
    beyond = np.full((BOOKS - 1, FRAMES), 0.004, np.float32)
    verdict = judged(said(), followed(said(), beyond=beyond))
    assert verdict.status is Status.FAIL
    assert [gate.name for gate in verdict.failed_gates] == ["acoustic decisions, RMS"]


@pytest.mark.parametrize("moved", [0.5, np.nan, np.inf])
def test_logits_that_lie_elsewhere_are_a_fault(judged: Any, moved: float) -> None:
    """A margin of NaN is no tie: FINDINGS had it pass with a gate of 0."""
    behind = at(FRAMES + 1, 0, moved)
    assert judged(said(), followed(said(), behind=behind)).status is Status.FAIL


def test_speech_that_goes_on_after_the_end_is_a_fault(judged: Any) -> None:
    """Eager's END lies far above the code that was chosen in its place."""
    spoken = said(ended=True)
    behind = at(FRAMES + 1, 2, 3.0)
    assert judged(spoken, followed(spoken, behind=behind)).status is Status.FAIL


def test_the_end_decoded_as_a_frame_is_a_fault(judged: Any) -> None:
    codes = said().codes.copy()
    codes[0, FRAMES - 1] = 1
    spoken = said(codes=codes)
    verdict = judged(spoken, followed(spoken))
    assert verdict.status is Status.FAIL
    assert verdict.summary == "frame 5, codebook 0: 1"


def test_a_speech_that_stops_early_is_a_fault(judged: Any) -> None:
    spoken = said(ended=False)
    verdict = judged(spoken, followed(spoken))
    assert verdict.status is Status.FAIL
    assert "stops after 6 frames and never chose END_AUDIO" in verdict.summary


def test_frames_that_eager_could_not_follow_are_a_fault(judged: Any) -> None:
    assert judged(said(), followed(said(), followed=4)).status is Status.FAIL


def test_codes_that_eager_did_not_follow_are_unjudged(judged: Any) -> None:
    verdict = judged(said(), None)
    assert verdict.status is Status.UNJUDGED
    assert "eager did not follow" in verdict.summary


def test_a_precision_that_was_not_measured_is_unjudged(judged: Any) -> None:
    assert judged(said(), followed(said()), None).status is Status.UNJUDGED


def test_other_margins_in_the_second_speech_fail() -> None:
    """A state that survives a reset may leave the codes as they are."""
    first = said(margins={"predict_velocity": np.array([0.5], np.float32)})
    again = said(margins={"predict_velocity": np.array([0.25], np.float32)})
    verdict = judge_repeat(first, again)
    assert verdict.status is Status.FAIL
    assert "margins (predict_velocity)" in verdict.summary


def test_another_end_of_the_second_speech_fails() -> None:
    """Codes are the same where END_AUDIO came behind the last frame, or its place ran out."""
    verdict = judge_repeat(said(ended=True), said(ended=False))
    assert verdict.status is Status.FAIL
    assert "only one chose END_AUDIO" in verdict.summary


@pytest.mark.parametrize(
    ("by", "status"), [(By.PROGRAM, Status.FAIL), (By.HARNESS, Status.UNJUDGED)]
)
def test_who_refused_to_speak_decides(tiny_line: Line, by: By, status: Status) -> None:
    from harness.budget import COMMITTED

    evidence: Evidence = tiny_line.evidence
    silent = Observation(tiny_line.run.fingerprint, {}, None, Refusal(by, "no audio"))
    (verdict,) = judge_speech(tiny_line.plan, evidence, silent, COMMITTED)
    assert verdict.status is status


def with_oracle(evidence: Evidence, spoken: Spoken, error: float) -> Evidence:
    """Eager's own decisions lie `error` levels and logits from the oracle's."""
    exact = followed(spoken)
    off = at((BOOKS - 1, FRAMES), (2, 2), error)
    own = followed(spoken, levels=exact.levels + off, margins=exact.margins + np.float32(error))
    return dataclasses.replace(evidence, own=own, exact_own=exact)


@pytest.mark.parametrize("error", [1e-4, 0.1], ids=["fp32", "bf16"])
@pytest.mark.parametrize("which", ["semantic", "acoustic"])
def test_a_decision_beyond_what_eager_itself_loses_is_a_fault(
    tiny_line: Line, judged: Any, which: str, error: float
) -> None:
    """Within what decisions may move at all, and far beyond what this eager's do."""
    from harness.budget import COMMITTED

    allowed = COMMITTED.of("mlx", "fp32", "predict_velocity")
    assert allowed is not None
    assert allowed.own is not None
    spoken = said()
    evidence = with_oracle(tiny_line.evidence, spoken, error)
    wide = dataclasses.replace(ALLOWED, logits=10.0, levels=10.0, rms_levels=10.0)
    before = judged(spoken, followed(spoken), wide)

    def verdict(moved: float) -> Verdict:
        changes = {
            "semantic": {"behind": at(FRAMES + 1, 0, moved)},
            "acoustic": {"beyond": at((BOOKS - 1, FRAMES), (1, 3), moved)},
        }
        return judge_decisions(before, evidence, followed(spoken, **changes[which]), allowed.own)

    assert verdict(error).status is Status.PASS
    red = verdict(8 * error)
    assert red.status is Status.FAIL
    assert f"{which} decision of own" in red.summary


@pytest.mark.parametrize(
    ("rounding", "status"),
    [(np.rint, Status.PASS), (np.floor, Status.FAIL), (np.ceil, Status.FAIL)],
)
def test_codes_that_are_not_rounded_to_the_nearest_are_shifted(
    tiny_line: Line, judged: Any, rounding: Any, status: Status
) -> None:
    """Beside decisions that may move by a level, as in 16 bits, only their mean tells."""
    from harness.budget import COMMITTED

    allowed = COMMITTED.of("mlx", "bf16", "predict_velocity")
    assert allowed is not None
    assert allowed.own is not None
    rng = np.random.default_rng(0)
    levels = rng.uniform(1, 7, (BOOKS - 1, FRAMES)).astype(np.float32)
    codes = np.vstack([np.full((1, FRAMES), 5), rounding(levels) + 2]).astype(np.int64)
    spoken = said(codes=codes)
    exact = followed(spoken, levels=levels)
    evidence = dataclasses.replace(
        with_oracle(tiny_line.evidence, spoken, 0.0),
        own=followed(spoken, levels=levels + rng.normal(0, 0.5, levels.shape).astype(np.float32)),
        exact_own=exact,
    )  # fmt: skip
    wide = dataclasses.replace(ALLOWED, levels=10.0, rms_levels=10.0)
    verdict = judge_decisions(judged(spoken, exact, wide), evidence, exact, allowed.own)
    assert verdict.status is status
    assert ("acoustic codes, mean shift" in verdict.summary) is (status is Status.FAIL)
