from __future__ import annotations

import math

import ml_dtypes
import numpy as np

from harness.report.figures import Decided, Outputs


def outputs(made: object, meant: object, allowed: float = 0.5) -> Outputs:
    sides = (np.array(side, np.float32) for side in (made, meant))
    return Outputs("codec", "a", *((side,) for side in sides), allowed)  # type: ignore[arg-type]


def test_shares_are_differences_over_what_is_allowed() -> None:
    assert outputs([1, 2, 3], [1, 2.25, 5]).shares().tolist() == [0, 0.5, 4]


def test_masked_elements_are_equal_and_others_that_are_not_finite_are_not() -> None:
    inf, nan = math.inf, math.nan
    shares = outputs([-inf, nan, inf, 1], [-inf, 1, 1, nan]).shares().tolist()
    assert shares == [0, inf, inf, inf]


def test_where_nothing_may_differ_a_difference_is_infinite() -> None:
    assert outputs([1, 2], [1, 3], 0.0).shares().tolist() == [0, math.inf]


def test_where_nobody_measured_the_greatest_value_is_the_unit() -> None:
    assert outputs([1, 2], [1, 4], math.nan).shares().tolist() == [0, 0.5]


def test_the_worst_elements_come_first_with_their_places() -> None:
    made = np.zeros((2, 3), np.float32)
    made[1, 2], made[0, 1] = 4, 1
    found = outputs(made, np.zeros((2, 3)), 2.0).worst(2)
    assert [(each.index, each.made, each.share) for each in found] == [
        ((1, 2), 4, 2),
        ((0, 1), 1, 0.5),
    ]
    assert len(outputs(made, np.zeros((2, 3))).worst(9)) == 2


def test_bfloat16_is_read_as_its_values() -> None:
    made = np.array([1.5], ml_dtypes.bfloat16)
    assert Outputs("codec", "a", (made,), (made * 2,), 1.5).shares().tolist() == [1]


def test_a_tie_is_told_from_a_fault() -> None:
    kinds = [Decided(0, 0, "7", d, a, "logits").what for d, a in ((1, 2), (3, 2), (3, math.nan))]
    assert kinds == ["tie", "fault", "not judged"]
