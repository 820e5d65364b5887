"""Outputs of any model beside what eager itself loses: what passes, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from harness.anymodel.judging import _judge_exact, judge_case, method_of
from harness.anymodel.model import Ignored, Model
from harness.anymodel.observing import Observed
from harness.anymodel.recording import CaseRecord, Recorded
from harness.budget import COMMITTED
from harness.compare import Status, Verdict
from harness.fingerprint import Fingerprint
from harness.parity.observation import By, Refusal

RNG = np.random.default_rng(0)
EXACT = RNG.standard_normal((8, 64))
EXECUTOR = Fingerprint("portable", "cpu", {}, regime="exact-f32")


def rounded(dtype: Any, seed: int) -> np.ndarray:
    """The exact values after some roundings, as an implementation makes them."""
    noise = np.random.default_rng(seed).standard_normal(EXACT.shape)
    unit = 2.0**-8 if dtype == ml_dtypes.bfloat16 else 2.0**-24
    return (EXACT * (1 + unit * noise)).astype(dtype)


def verdict(
    made: Any, dtype: Any = np.float32, model: Model | None = None, **changes: Any
) -> Verdict:
    eager = rounded(dtype, 1)
    mask = changes.pop("mask", None)
    case = CaseRecord("example", ((),), ((eager,),), ((EXACT,),), ((mask,),))
    case = dataclasses.replace(case, **changes)
    recorded = Recorded((case,), ("",), (0.0, 0.0), "module")
    ran = made if isinstance(made, Refusal) else ((np.asarray(made),),)
    observed = Observed(EXECUTOR, {"example": ran}, {}, None)
    (found,) = judge_case(model or Model(None), case, recorded, observed, COMMITTED)
    return found


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_other_roundings_of_the_same_pass(dtype: Any) -> None:
    assert verdict(rounded(dtype, 2), dtype).status is Status.PASS


@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        (np.float32, lambda y: y * np.float32(1 + 1e-4)),
        (np.float32, lambda y: np.roll(y, 1, 0)),
        (np.float32, lambda y: np.where(np.arange(64) == 3, 0, y).astype(y.dtype)),
        (np.float32, lambda y: np.where(y > 3, np.nan, y).astype(y.dtype)),
        (np.float32, lambda y: y[:4]),
        (np.float32, lambda y: y.astype(np.float64)),
        (ml_dtypes.bfloat16, lambda y: (y * 1.1).astype(y.dtype)),
        (ml_dtypes.bfloat16, lambda y: np.roll(y, 1, 1)),
    ],
    ids=["gain", "rows moved", "a column lost", "NaN", "shape", "type", "gain 16", "moved 16"],
)
def test_what_is_wrong_fails(dtype: Any, wrong: Any) -> None:
    made = rounded(dtype, 2)
    if wrong(made).shape == made.shape and np.array_equal(wrong(made), made):
        made.flat[0] = 4  # so that there is something to spoil
    assert verdict(wrong(made), dtype).status is Status.FAIL


def test_elements_under_a_mask_do_not_count() -> None:
    mask = np.zeros(EXACT.shape, bool)
    mask[0] = True
    made = rounded(np.float32, 2)
    made[0] = 7
    model = Model(None, ignored=[Ignored(mask, "padding")])
    found = verdict(made, model=model, mask=mask)
    assert found.status is Status.PASS
    assert found.notes == ("64 elements were not compared: padding.",)
    made[1] = 7
    assert verdict(made, model=model, mask=mask).status is Status.FAIL


def test_nothing_is_no_pass() -> None:
    mask = np.ones(EXACT.shape, bool)
    model = Model(None, ignored=[Ignored(mask, "nothing matters")])
    found = verdict(rounded(np.float32, 2), model=model, mask=mask)
    assert found.status is Status.UNJUDGED
    assert found.summary == "every element was ignored: nothing matters"


@pytest.mark.parametrize("masks", [(True, True), (True, False)])
def test_float64_too_judges_what_is_not_ignored(masks: tuple[bool, bool]) -> None:
    hidden = tuple(np.full(EXACT.shape, all_of_it) for all_of_it in masks)
    case = CaseRecord("example", ((),), ((EXACT,) * 2,), ((EXACT,) * 2,), (hidden,))
    recorded = Recorded((case,), ("a", "b"), (0.0, 0.0), "module")
    ran = {"example": ((EXACT + 1, EXACT),)}
    found = _judge_exact(
        method_of(Model(None)), recorded, Observed(EXECUTOR, ran, ran, None), COMMITTED.exact
    )
    if all(masks):
        assert (found.status, found.summary) == (Status.UNJUDGED, "every element was ignored")
    else:
        assert (found.status, found.elements) == (Status.PASS, EXACT.size)


def test_whole_numbers_are_equal_or_open_to_rounding() -> None:
    meant = np.arange(6)
    same = {"eager": ((meant,),), "exact": ((meant,),)}
    assert verdict(meant, **same).status is Status.PASS
    other = meant.copy()
    other[2] = 9
    assert verdict(other, **same).status is Status.FAIL
    assert (
        "1 of 6 elements differ, first call 0, (2): 2 expected, 9" in verdict(other, **same).summary
    )
    tie = meant.copy()
    tie[2] = 5
    found = verdict(other, eager=((meant,),), exact=((tie,),))
    assert found.status is Status.PASS
    assert "eager's own rounding decides" in found.notes[0]


def test_who_refused_decides() -> None:
    assert verdict(Refusal(By.PROGRAM, "shapes")).status is Status.FAIL
    assert verdict(Refusal(By.HARNESS, "no memory")).status is Status.UNJUDGED


def test_without_float64_there_are_figures_alone() -> None:
    assert verdict(rounded(np.float32, 2), exact=()).status is Status.UNJUDGED


def test_a_constant_is_judged_by_its_value() -> None:
    ones = np.ones((2, 2), np.float32)
    same = {"eager": ((ones,),), "exact": ((ones.astype(np.float64),),)}
    assert verdict(ones, **same).status is Status.PASS
    assert verdict(ones * 1.001, **same).status is Status.FAIL


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_a_mask_hides_no_error_of_others(dtype: Any) -> None:
    low = ml_dtypes.finfo(dtype).min
    masks = np.arange(EXACT.size).reshape(EXACT.shape) % 7 == 0
    made, eager = (np.where(masks, low, rounded(dtype, n)).astype(dtype) for n in (2, 1))
    same: dict[str, Any] = {"eager": ((eager,),), "exact": ((np.where(masks, float(low), EXACT),),)}
    assert verdict(made, dtype, **same).status is Status.PASS
    wrong = np.where(masks, made, np.roll(rounded(dtype, 2), 1, 1))
    assert verdict(wrong, dtype, **same).status is Status.FAIL
    wrong = np.where(masks, -1, made).astype(dtype)
    assert verdict(wrong, dtype, **same).status is Status.FAIL
