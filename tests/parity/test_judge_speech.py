"""Codes of two speeches: ties told from faults."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from harness.compare.decisions import Decisions, TieAllowance, common_frames, judge_decisions

from harness.compare import Status

ALLOWED = TieAllowance(logits=1e-3, levels=1e-2, source="this test")
FRAMES, BOOKS = 6, 4


def spoken(**changes: Any) -> Decisions:
    draw = np.random.default_rng(11)
    made = Decisions(
        codes=draw.integers(2, 20, (BOOKS, FRAMES)),
        ended=True,
        semantic_margins=np.full(FRAMES + 1, 0.5, np.float32),
        runners_up=np.full(FRAMES + 1, 9, np.int64),
        level_margins=np.full((BOOKS - 1, FRAMES), 0.25, np.float32),
    )
    return dataclasses.replace(made, **changes)


def at(array: Any, place: Any, value: float) -> np.ndarray:
    changed = np.array(array)
    changed[place] = value
    return changed


def judged(candidate: Decisions, reference: Decisions) -> Any:
    return judge_decisions("speech", "codes", candidate, reference, ALLOWED)


def test_equal_codes_pass() -> None:
    verdict = judged(spoken(), spoken())
    assert verdict.status is Status.PASS
    assert verdict.summary == "all 24 codes of 6 frames equal, ended by END_AUDIO"
    assert verdict.elements == 24


def rounded(margin_ours: float, margin_theirs: float, step: int = 1) -> tuple[Decisions, Decisions]:
    """Codebook 2 of frame 3 rounded to one side and to the other."""
    theirs = spoken()
    theirs = dataclasses.replace(
        theirs, level_margins=at(theirs.level_margins, (1, 3), margin_theirs)
    )
    ours = dataclasses.replace(
        theirs,
        codes=at(theirs.codes, (2, 3), theirs.codes[2, 3] + step),
        level_margins=at(theirs.level_margins, (1, 3), margin_ours),
    )
    return ours, theirs


def test_a_value_on_either_side_of_a_tie_is_a_tie() -> None:
    ours, theirs = rounded(0.004, 0.005)
    # what follows is another speech
    ours = dataclasses.replace(ours, codes=at(ours.codes, (slice(None), slice(4, None)), 7))
    verdict = judged(ours, theirs)
    assert verdict.status is Status.PASS
    assert verdict.metrics["tie_frame"] == 3
    assert "equal for 3 frames" in verdict.summary
    assert "frame 3, codebook 2" in verdict.summary
    assert verdict.gates[1].value == pytest.approx(0.009)


def test_a_value_that_moved_too_far_is_a_fault() -> None:
    verdict = judged(*rounded(0.006, 0.005))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["fault_frame"] == 3
    assert "its value moved by 0.011 levels" in verdict.summary


def test_two_levels_are_no_tie() -> None:
    assert judged(*rounded(0.001, 0.001, step=2)).status is Status.FAIL


def chosen(code: int, runner_up: int, margin: float) -> tuple[Decisions, Decisions]:
    """Semantic codes of frame 2: `code` against 17, the reference's second being `code`."""
    theirs = spoken()
    theirs = dataclasses.replace(
        theirs,
        codes=at(theirs.codes, (0, 2), 17),
        runners_up=at(theirs.runners_up, 2, code),
        semantic_margins=at(theirs.semantic_margins, 2, margin),
    )
    ours = dataclasses.replace(
        theirs, codes=at(theirs.codes, (0, 2), code), runners_up=at(theirs.runners_up, 2, runner_up)
    )
    return ours, theirs


def test_the_two_best_codes_changing_places_is_a_tie() -> None:
    verdict = judged(*chosen(5, 17, 4e-4))
    assert verdict.status is Status.PASS
    assert "semantic code 17 → 5" in verdict.summary
    assert verdict.gates[0].value == pytest.approx(8e-4)


def test_far_logits_changing_places_is_a_fault() -> None:
    verdict = judged(*chosen(5, 17, 6e-4))
    assert verdict.status is Status.FAIL
    assert "its logits were 1.2e-3 apart" in verdict.summary.replace("0.0012", "1.2e-3")


def test_a_third_code_is_a_fault() -> None:
    assert judged(*chosen(5, 3, 1e-6)).status is Status.FAIL


def test_an_end_that_comes_by_a_tie() -> None:
    theirs = spoken()
    theirs = dataclasses.replace(
        theirs,
        runners_up=at(theirs.runners_up, 4, 1),
        semantic_margins=at(theirs.semantic_margins, 4, 1e-4),
    )
    ours = dataclasses.replace(
        theirs,
        codes=theirs.codes[:, :4],
        level_margins=theirs.level_margins[:, :4],  # type: ignore[index]
        semantic_margins=theirs.semantic_margins[:5],  # type: ignore[index]
        runners_up=at(theirs.runners_up, 4, theirs.codes[0, 4])[:5],
    )
    verdict = judged(ours, theirs)
    assert verdict.status is Status.PASS
    assert "4 frames, the reference 6" in verdict.summary


def test_an_end_that_comes_early_is_a_fault() -> None:
    whole = spoken()
    early = dataclasses.replace(whole, codes=whole.codes[:, :4])
    verdict = judged(early, whole)
    assert verdict.status is Status.FAIL
    assert "→ END" in verdict.summary


def test_a_speech_that_just_stops_is_a_fault() -> None:
    whole = spoken()
    cut = dataclasses.replace(whole, codes=whole.codes[:, :4], ended=False)
    assert "stops after frame 4" in judged(cut, whole).summary
    assert judged(cut, whole).status is Status.FAIL


def test_decisions_that_moved_alike_but_too_far_fail() -> None:
    theirs = spoken()
    ours = dataclasses.replace(theirs, level_margins=at(theirs.level_margins, (0, 5), 0.3))
    verdict = judged(ours, theirs)
    assert verdict.status is Status.FAIL
    assert "acoustic decisions moved by 0.050 levels" in verdict.summary


def test_a_speaker_without_margins_is_judged_by_the_references() -> None:
    ours, theirs = rounded(0.0, 0.005)
    bare = dataclasses.replace(ours, semantic_margins=None, runners_up=None, level_margins=None)
    assert judged(bare, theirs).status is Status.PASS
    ours, theirs = rounded(0.0, 0.05)
    bare = dataclasses.replace(ours, semantic_margins=None, runners_up=None, level_margins=None)
    assert judged(bare, theirs).status is Status.FAIL


def test_nothing_said_is_not_judged() -> None:
    empty = Decisions(np.zeros((BOOKS, 0), np.int64), True)
    assert judged(empty, empty).status is Status.UNJUDGED


def test_other_codebooks_fail() -> None:
    whole = spoken()
    assert judged(dataclasses.replace(whole, codes=whole.codes[:3]), whole).status is Status.FAIL


def test_common_frames_end_where_codes_differ() -> None:
    codes = spoken().codes
    assert common_frames(codes, codes) == 6
    assert common_frames(at(codes, (3, 2), 99), codes) == 2
    assert common_frames(codes[:, :4], codes) == 4
