"""Sizes that a given file declares, whatever would run it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.exports import Line
from harness.errors import InputError, ProgramError
from harness.parity import Request
from harness.parity.artifacts import open_artifacts

FILES = ("model.pte", "codec_decoder.pte")


@pytest.fixture
def given(tmp_path: Path, tiny_line: Line) -> Path:
    """A directory with the two files, as somebody else would give them."""
    for name in FILES:
        shutil.copyfile(tiny_line.artifact(name).path, tmp_path / name)
    return tmp_path


def test_given_files_say_their_sizes(given: Path) -> None:
    sizes = Line(Request(artifacts=given)).sizes
    assert (sizes.max_seq_len, sizes.max_codec_frames) == (128, 40)


def test_what_is_asked_for_outdoes_what_a_file_says(given: Path) -> None:
    assert Line(Request(artifacts=given, max_seq_len=64)).sizes.max_seq_len == 64


@pytest.mark.parametrize(
    ("method", "file"), [("codec", "codec_decoder.pte"), ("semantic_head", "model.pte")]
)
def test_only_the_file_of_the_methods_asked_for_is_wanted(
    method: str, file: str, given: Path
) -> None:
    (other,) = set(FILES) - {file}
    (given / other).unlink()
    line = Line(Request(artifacts=given, methods=(method,)))

    assert set(open_artifacts(line.plan, given).files) == {file}


@pytest.mark.parametrize(
    ("exported", "asked", "held"),
    [
        ("bf16", "fp32", "bfloat16 weights, which is not fp32"),
        ("fp32", "bf16", "float32 weights, which is not bf16"),
        ("bf16", "bf16-4w8w", "no quantised weight, which is not bf16-4w8w"),
        ("bf16-4w8w", "bf16", "quantised weights, which is not bf16"),
    ],
)
def test_files_of_another_precision_are_bad_input(
    exported: str, asked: str, held: str, parity_in: Callable[[str], Line], tmp_path: Path
) -> None:
    """It was a mismatch: exit code 1 for a precision that nobody gave."""
    line = parity_in(exported)
    for name in FILES:
        shutil.copyfile(line.artifact(name).path, tmp_path / name)
    given = Line(Request(artifacts=tmp_path, precision=asked))
    with pytest.raises(InputError, match=rf"model\.pte holds {held}"):
        open_artifacts(given.plan, tmp_path)


def test_a_file_that_does_not_say_is_one_sentence(
    tmp_path: Path, exported: Callable[[str], Any]
) -> None:
    shutil.copyfile(exported("linear").path, tmp_path / "model.pte")
    with pytest.raises(InputError, match=r"model\.pte has no metadata method max_seq_len"):
        _ = Line(Request(methods=("semantic_head",), artifacts=tmp_path)).sizes


def test_a_damaged_file_is_one_sentence(given: Path) -> None:
    whole = (given / "model.pte").read_bytes()
    (given / "model.pte").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProgramError, match=r"model\.pte"):
        _ = Line(Request(artifacts=given)).sizes
