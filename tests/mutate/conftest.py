"""One item a fault; the lists follow from real exports, made only where mutants are asked for."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from fixtures.exports import Line
from harness.methods.precision import PRECISIONS
from harness.parity import Request
from tests.mutate.bench import Bench

ASKED_FOR = "mutate"


@cache
def line_in(precision: str) -> Line:
    """The unmutated line of `tiny`, one each a process."""
    return Line(Request(executor="portable", precision=precision))


def pytest_generate_tests(metafunc: Any) -> None:
    """Every fault or harmless change in every precision, where the marker is asked for."""
    what = next((name for name in ("fault", "benign") if name in metafunc.fixturenames), None)
    if what is None:
        return
    words = metafunc.config.getoption("markexpr").split()
    asked = ASKED_FOR in words and f"not {ASKED_FOR}" not in " ".join(words)
    found = []
    if asked:
        # Graphs of torch and programs of thousands of nodes live for one item: the garbage
        # collector goes through them again and again, for an eighth of the time.
        gc.set_threshold(200_000, 20, 20)
        from tests.mutate.benign import all_benign
        from tests.mutate.faults import all_faults

        every = all_faults if what == "fault" else all_benign
        for precision in PRECISIONS:
            bench = Bench(line_in(precision), pytest.MonkeyPatch(), Path())
            found += [(item, precision) for item in every(bench)]
    metafunc.parametrize((what, "precision"), found, ids=[f"{p}: {one.name}" for one, p in found])


@pytest.fixture
def benches(
    precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Bench]]:
    """Makes a bench; what a fault wrote is deleted."""
    yield partial(Bench, line_in(precision), monkeypatch, tmp_path)
    shutil.rmtree(tmp_path)
