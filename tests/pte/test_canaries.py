"""Canaries know their answers, and sing of every kernel that has others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.arrays import dtype_of
from harness.budget.regimes import CLASSES, EXACT, PRODUCTS, TF32
from harness.pte.canaries import DTYPES, Canary, canaries, explain

ALL = canaries()


def answer(canary: Canary, error: float = 0.0) -> np.ndarray[Any, Any]:
    """The best that its type can say, or as far off as an error of that share of its terms."""
    spread = 0.0 if canary.terms is None else canary.terms.spread
    sign = np.where(np.indices(canary.wanted.shape).sum(0) % 2, 1.0, -1.0)
    return (canary.wanted + error * sign * spread).astype(dtype_of(canary.dtype))


def test_every_kind_is_there_in_every_type() -> None:
    found = {(canary.kind, canary.dtype) for canary in ALL}
    assert found == {(kind, dtype) for kind in (*PRODUCTS, "exact") for dtype in DTYPES}


def test_right_answers_are_exact_and_without_fault() -> None:
    regime = explain((canary, answer(canary)) for canary in ALL)
    assert regime.faults == ()
    assert regime.name == EXACT
    assert set(regime.products.values()) == {EXACT}
    assert regime.canaries == len(ALL)


def test_one_exact_row_hides_no_tf32() -> None:
    coarse = 2.0**-12
    regime = explain(
        (canary, answer(canary, 0.0 if "M = 1," in canary.name else coarse))
        for canary in ALL
        if canary.dtype == "float32"
    )
    assert regime.name == TF32
    assert regime.products["matrix float32"] == TF32
    assert regime.faults == ()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e4])
def test_any_wrong_element_is_a_fault_with_name_and_figures(wrong: float) -> None:
    for canary in ALL:
        made = answer(canary)
        made.reshape(-1)[-1] = wrong
        regime = explain([(canary, made)])
        (fault,) = regime.faults
        assert (fault.kind, fault.dtype, fault.case) == (canary.kind, canary.dtype, canary.name)
        last = ", ".join(str(n - 1) for n in canary.wanted.shape)
        assert f"at ({last}), expected " in fault.said
        assert regime.products == {}


def test_rows_beyond_eight_that_repeat_the_first_are_a_fault() -> None:
    def repeated(canary: Canary) -> np.ndarray[Any, Any]:
        made = answer(canary)
        if canary.kind == "matrix":
            made[..., 8:, :] = made[..., :1, :]
        return made

    faults = explain((canary, repeated(canary)) for canary in ALL).faults
    assert faults
    assert all("M = " in fault.case or "stride 0" in fault.case for fault in faults)
    assert not any("M = 1," in fault.case or "M = 8," in fault.case for fault in faults)


def test_the_wrong_shape_and_a_refusal_are_faults() -> None:
    first = ALL[0]
    shape, refusal = explain([(first, answer(first)[:, :1]), (first, "no bfloat16 here")]).faults
    assert shape.said == "its shape is 1×1, expected 1×48"
    assert str(refusal) == f"matrix in float32, {first.name}: no bfloat16 here"


def test_large_ones_are_for_gpus() -> None:
    sizes = [max(t.size for t in canary.tensors) for canary in ALL]
    assert max(sizes) <= 2**18
    assert len(CLASSES) == 3
