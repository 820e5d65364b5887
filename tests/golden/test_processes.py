"""The golden holds in processes that share nothing, with one thread and with two."""

from __future__ import annotations

import pytest

from harness.process import call_self


@pytest.mark.parametrize("threads", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_the_golden_holds_in_a_new_process(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    done = call_self(["golden", "check", "--executor", "portable"])
    assert done.returncode == 0, done.stderr
    assert "golden statistics" in done.stdout
    assert "15 verdicts: 15 passed" in done.stdout
