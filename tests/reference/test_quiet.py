"""Only the known lines are kept off stderr."""

from __future__ import annotations

import os
import warnings

import pytest

from harness.reference.quiet import without_upstream_chatter


def test_known_lines_are_dropped_and_others_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with without_upstream_chatter():
        os.write(2, b"[kernel_runtime_context.h:91] No temp allocator provided\n")
        os.write(2, b"something else went wrong\n")
    assert capfd.readouterr().err == "something else went wrong\n"


def test_lines_before_an_exception_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_upstream_chatter():
            os.write(2, b"the reason\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "the reason\nlater\n"


def test_only_the_known_warning_is_ignored() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with without_upstream_chatter():
            warnings.warn("_check_is_size will be removed in a future release", FutureWarning, 2)
            warnings.warn("something else", FutureWarning, 2)
    assert [str(warning.message) for warning in seen] == ["something else"]
