"""The corrections that a program needs are found, and no others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import pytest

from harness.zoo.architectures.curing import needed

NAMES = tuple("abcdefghijklmnopqrstuvwxy")


def asked(cures: Sequence[str]) -> tuple[set[str], int]:
    """What is found where any of these sets of letters cures, and after how many questions."""
    questions = []

    def enough(names: tuple[str, ...]) -> bool:
        questions.append(names)
        return any(set(cure) <= set(names) for cure in cures)

    return set(needed(NAMES, enough)), len(questions)


@pytest.mark.parametrize("name", NAMES)
def test_one_is_found_by_halving(name: str) -> None:
    found, questions = asked([name])
    assert found == {name}
    assert questions <= 1 + math.ceil(math.log2(len(NAMES)))


@pytest.mark.parametrize("cure", ["ab", "ay", "mno", "aimx", "".join(NAMES)])
def test_several_are_found_together(cure: str) -> None:
    assert asked([cure])[0] == set(cure)


def test_none_of_what_is_found_can_be_left_out() -> None:
    for cures in combinations(("abx", "cy", "bd", "x"), 2):
        assert "".join(sorted(asked(cures)[0])) in cures
