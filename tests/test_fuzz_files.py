"""A few mutants of each file; `nox -s fuzz` makes thousands."""

from __future__ import annotations

import pytest

from tests import fuzz_files


def test_damaged_files_are_refused_or_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_files.fuzz(times=20, seed=2) == 0

    told = capsys.readouterr().out.splitlines()
    assert len(told) == 10
    assert all("error" in line for line in told)


def test_an_exception_of_a_reader_is_a_fault() -> None:
    def reader(content: bytes) -> None:
        raise KeyError("an entry")

    found, said = fuzz_files.outcome("report", b"{}" * 40, reader, [1, 2])

    assert found == "exception"
    assert "KeyError" in said
