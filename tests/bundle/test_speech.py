"""Where the executor chose other codes, and eager is not there to follow them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.arrays import Array
from harness.bundle.contents import Bundle, open_bundle
from harness.bundle.judging import judge_bundle
from harness.bundle.observing import BundleObservation, observe_bundle, read_observation
from harness.compare import Status, Verdict
from harness.parity.observation import Observation
from harness.synthesis import Followed

CODES, SOUND = "codes, free-running", "waveform, free-running"


@pytest.fixture(scope="module")
def bundle(whole: Path) -> Iterator[Bundle]:
    with open_bundle(whole) as opened:
        yield opened


@pytest.fixture(scope="module")
def seen(bundle: Bundle, observed: Path) -> Observation:
    return read_observation(observed, bundle).observation


@pytest.fixture(scope="module")
def along(bundle: Bundle) -> Followed:
    """What an executor without fault decides along eager's codes: what eager itself does."""
    assert bundle.evidence.own is not None
    return bundle.evidence.own


def with_other_code(seen: Observation, code: int, along: Followed | None) -> Observation:
    """The executor chose one other code by itself, and went on from there."""
    speech = seen.speech
    assert speech is not None
    codes = speech.first.codes.copy()
    codes[5, 3] = code
    first, again = (dataclasses.replace(x, codes=codes) for x in (speech.first, speech.again))
    speech = dataclasses.replace(speech, first=first, again=again)
    return dataclasses.replace(seen, speech=speech, along=along)


def spoken(bundle: Bundle, seen: Observation) -> dict[str, Verdict]:
    made = BundleObservation(1, bundle.facts.sha256, "", 0.0, {}, seen)
    found = judge_bundle(bundle, made).verdicts
    return {verdict.case: verdict for verdict in found if verdict.subject == "speech"}


def other(seen: Observation) -> int:
    assert seen.speech is not None
    code = int(seen.speech.first.codes[5, 3])
    return code + 1 if code < 20 else code - 1


def test_equal_codes_need_nobody_to_follow_them(bundle: Bundle, seen: Observation) -> None:
    assert seen.along is None
    found = spoken(bundle, seen)
    assert found[CODES].status is Status.PASS
    assert found[SOUND].status is Status.PASS


def test_another_code_that_is_a_tie_is_a_verdict(
    bundle: Bundle, seen: Observation, along: Followed
) -> None:
    beyond = along.beyond.copy()
    beyond[4, 3] = 1e-6  # the executor's own value, that far beyond what eager's code needs
    tie = dataclasses.replace(along, beyond=beyond)
    found = spoken(bundle, with_other_code(seen, other(seen), tie))
    codes = found[CODES]
    assert codes.status is Status.PASS
    assert "1 of" in codes.summary
    assert "ties" in codes.summary
    assert "from frame 3, codebook 5 on" in codes.notes[0]
    assert codes.elements > 500
    assert found[SOUND].status is Status.PASS
    assert found[SOUND].elements == along.waveform.size
    assert {"streaming ≡ offline", "said twice"} <= set(found)


def test_another_code_that_is_no_tie_is_a_fault(
    bundle: Bundle, seen: Observation, along: Followed
) -> None:
    beyond = along.beyond.copy()
    beyond[4, 3] = 0.4
    wrong = dataclasses.replace(along, beyond=beyond)
    codes = spoken(bundle, with_other_code(seen, other(seen), wrong))[CODES]
    assert codes.status is Status.FAIL
    assert "frame 3, codebook 5" in codes.summary


def test_another_sound_of_eagers_codes_is_a_fault(
    bundle: Bundle, seen: Observation, along: Followed
) -> None:
    quieter: Array = along.waveform * np.float32(0.9)
    wrong = dataclasses.replace(along, waveform=quieter)
    found = spoken(bundle, with_other_code(seen, other(seen), wrong))
    assert found[SOUND].status is Status.FAIL


def test_a_code_that_no_frame_holds_is_a_fault_whatever_follows(
    bundle: Bundle, seen: Observation, along: Followed
) -> None:
    codes = spoken(bundle, with_other_code(seen, 99, along))[CODES]
    assert codes.status is Status.FAIL
    assert "99" in codes.summary


def test_what_was_not_followed_is_unjudged(bundle: Bundle, seen: Observation) -> None:
    found = spoken(bundle, with_other_code(seen, other(seen), None))
    assert found[CODES].status is Status.UNJUDGED
    assert found[SOUND].status is Status.UNJUDGED


def test_an_executor_follows_eager_where_it_chose_otherwise(bundle: Bundle) -> None:
    # Eager is said to have chosen another code: the executor must notice, and disagree there.
    eager = bundle.evidence.speech
    codes = eager.codes.copy()
    codes[5, 3] = codes[5, 3] + 3 if codes[5, 3] < 15 else codes[5, 3] - 3
    speech = dataclasses.replace(eager, codes=codes)
    evidence = dataclasses.replace(bundle.evidence, speech=speech, own=None, exact_own=None)
    other = dataclasses.replace(bundle, evidence=evidence)
    seen = observe_bundle(other, "portable").observation
    assert seen.along is not None
    assert np.array_equal(seen.along.codes, codes)
    assert seen.along.beyond[4, 3] > 2
    found = spoken(other, seen)
    assert found[CODES].status is Status.FAIL
    assert "frame 3, codebook 5, which has" in found[CODES].summary
