from __future__ import annotations

import pytest

from harness.conformance.cases import Case, select
from harness.errors import InputError

CASES = [
    Case("ops", "add", 0, "add"),
    Case("ops", "add", 1, "add_scalar"),
    Case("ops", "conv1d", 0, "conv1d"),
    Case("ops", "conv2d", 0, "conv2d_k3"),
    Case("tq_norm", "tq_norm", 0, "tq_norm_b1"),
]


def chosen(*words: str) -> list[str]:
    return [case.name for case in select(CASES, words)]


def test_no_word_chooses_everything() -> None:
    assert select(CASES, ()) == CASES


def test_a_class_is_all_its_configurations() -> None:
    assert chosen("add") == ["add", "add_scalar"]


def test_a_configuration_is_itself() -> None:
    assert chosen("add_scalar") == ["add_scalar"]


def test_a_suite_is_all_its_classes() -> None:
    assert chosen("tq_norm") == ["tq_norm_b1"]


def test_any_other_word_is_part_of_a_name() -> None:
    assert chosen("conv") == ["conv1d", "conv2d_k3"]
    assert chosen("k3", "scalar") == ["add_scalar", "conv2d_k3"]


def test_a_word_that_names_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"has 'convv' in its name; classes are add, conv1d"):
        select(CASES, ["add", "convv"])
    with pytest.raises(InputError, match="has '' in its name"):
        select(CASES, [""])
