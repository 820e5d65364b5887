from __future__ import annotations

import math

import pytest

from harness.compare import words


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        (0, "0"),
        (-0.0, "0"),
        (3.14e-4, "3.1e-4"),
        (9.99e-5, "1.0e-4"),
        (0.00123, "0.0012"),
        (0.61234, "0.61"),
        (-0.5, "-0.50"),
        (12.0, "12"),
        (13935, "13,935"),
        (51234.5, "5.1e4"),
        (4e38, "4.0e38"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "NaN"),
    ],
)
def test_number(value: float, spelt: str) -> None:
    assert words.number(value) == spelt


def test_number_with_more_digits() -> None:
    assert words.number(0.4257512, 5) == "0.42575"


def test_place_shape_and_count() -> None:
    assert words.place((0, 7, 12)) == "(0, 7, 12)"
    assert words.place((3, 0, 7), called=True) == "call 3, (0, 7)"
    assert words.shape((1, 7, 128)) == "1×7×128"
    assert words.shape(()) == "scalar"
    assert words.count(1, "element") == "1 element"
    assert words.count(1024, "element") == "1,024 elements"
