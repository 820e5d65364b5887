"""The runner's text form of codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.synthesis.dump import read_codes, write_codes

CODES = np.array([[315, 359], [18, 22], [2, 15]])


def test_a_frame_is_a_line_in_the_runners_form(tmp_path: Path) -> None:
    write_codes(tmp_path / "codes.txt", CODES)
    assert (tmp_path / "codes.txt").read_text() == (
        "frame=0 sem=315 codes=315,18,2\nframe=1 sem=359 codes=359,22,15\n"
    )
    assert np.array_equal(read_codes(tmp_path / "codes.txt"), CODES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no codes"),
        ("frame=1 sem=3 codes=3,4\n", "line 1: expected frame=0"),
        ("frame=0 sem=3 codes=4,4\n", "line 1: expected frame=0"),
        ("frame=0 sem=3 codes=3,4\nframe=1 sem=3 codes=3\n", "line 2: 1 codes, 2 before it"),
        ("frame=0 sem=3 codes=3,4\nframe=1 sem=3 co", "line 2: expected frame=1"),
        (f"frame=0 sem=3 codes=3,{'9' * 5000}\n", "line 1: expected frame=0 sem=… codes=…, got"),
        ("frame=0 sem=３ codes=３,4\n", "line 1: expected frame=0"),
    ],
)
def test_a_damaged_dump_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "codes.txt").write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_codes(tmp_path / "codes.txt")


def test_a_missing_dump_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"codes .*none\.txt cannot be read"):
        read_codes(tmp_path / "none.txt")
