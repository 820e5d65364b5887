"""Messages are bounded, whatever a foreign file put into them."""

from __future__ import annotations

import time

import pytest

from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    brief,
    in_a_sentence,
    one_of,
)


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, list(range(10**6)), {"a" * 10**5: 1}, 10**5000, -(2**63), b"y" * 10**6, [[[[]]]]],
    ids=("text", "list", "dict", "digits", "number", "bytes", "nested"),
)
def test_a_value_is_shortened(value: object) -> None:
    assert len(brief(value)) <= 80


def test_a_short_value_is_shown_as_it_is() -> None:
    assert [brief(v) for v in ("a", 1.5, [1, 2], None)] == ["'a'", "1.5", "[1, 2]", "None"]


def test_a_huge_number_takes_no_time() -> None:
    started = time.process_time()
    assert brief(1 << 10**8) == "an integer of 100,000,001 bits"
    assert time.process_time() - started < 1


def test_a_message_keeps_its_start_and_its_end() -> None:
    text = str(ExecutionError("start " + "x" * 10**6 + " end"))
    assert len(text) < 1300
    assert text.startswith("start x")
    assert text.endswith("x end")
    assert "(1,000,010 characters)" in text


def test_a_message_of_usual_length_is_whole() -> None:
    assert str(HarnessError("y" * 560)) == "y" * 560


def test_codes_that_move_a_terminal_are_spelled_out() -> None:
    assert in_a_sentence(HarnessError("a\x1b[2Jb\r\nc\u202e")) == "a\\x1b[2Jb c\\u202e"


@pytest.mark.parametrize(
    ("value", "hint"), [("portabl", r"; did you mean portable\?$"), ("zzz", r"\(got 'zzz'\)$")]
)
def test_a_name_that_is_none_of_those_known_is_refused(value: str, hint: str) -> None:
    one_of("executor", "native", ("native", "portable"))
    with pytest.raises(InputError, match=f"^executor must be one of native, portable .*{hint}"):
        one_of("executor", value, ("native", "portable"))
