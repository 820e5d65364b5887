"""Exports timed beside stock: the arithmetic, the order, and that stock is stock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from fixtures.exports import Line as Parity
from harness.bench import exporting
from harness.bench.exporting import ExportTiming, bench_export, lower_stock
from harness.checkpoint import loading
from harness.cli import bench
from harness.errors import ExecutionError
from harness.export import lower, programs
from harness.methods import select_methods
from harness.runtime.portable import PortableExecutor


@pytest.mark.parametrize(
    ("ours", "stock", "ratio", "met"),
    [
        ((1.0, 9.0, 1.2), (1.0, 1.0, 1.0), 1.2, True),
        ((1.3, 1.3, 0.1), (1.0, 1.0, 1.0), 1.3, False),
        ((2.0, 4.0), (3.0, 3.0), 1.0, True),
    ],
)
def test_medians_are_compared_and_a_fifth_more_is_allowed(
    ours: tuple[float, ...], stock: tuple[float, ...], ratio: float, met: bool
) -> None:
    timing = ExportTiming("tiny", "codec", ours, stock)

    assert (timing.ratio, timing.met) == (pytest.approx(ratio), met)


@pytest.fixture
def without_exports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every export is only written down, as ``side entry``."""
    done: list[str] = []
    monkeypatch.setattr(loading, "load_model", lambda *args, **options: None)
    for name in list(programs.PROGRAMS):
        monkeypatch.setitem(programs.PROGRAMS, name, lambda model, sizes: None)

    def ours(given: dict[str, Any], metadata: dict[str, int], path: Path) -> None:
        done.extend(f"ours {entry}" for entry in given)

    monkeypatch.setattr(lower, "lower_to_mlx", ours)
    monkeypatch.setattr(
        exporting, "lower_stock", lambda method, *_: done.append(f"stock {method.entry}")
    )
    return done


def test_every_method_is_exported_by_both_sides(without_exports: list[str]) -> None:
    timings = list(bench_export("tiny", print, methods=select_methods(["codec"]), rounds=3))

    assert without_exports.count("ours forward") == without_exports.count("stock forward") == 4
    (timing,) = timings
    assert (timing.checkpoint, timing.method) == ("tiny", "codec")
    assert len(timing.ours_seconds) == len(timing.stock_seconds) == 3
    assert "native convolutions on both sides" in timing.note


@pytest.mark.parametrize(("ours", "code"), [(1.2, 0), (1.3, 1)])
def test_the_command_writes_every_time_and_fails_beyond_the_limit(
    ours: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = ExportTiming("tiny", "codec", (ours,), (1.0,), "a note")
    monkeypatch.setattr(exporting, "bench_export", lambda *args, **options: iter([timing]))
    ended = 0

    try:
        bench.export(checkpoint=["tiny"], rounds=1, json_file=tmp_path / "times.json")
    except typer.Exit as exit_:
        ended = exit_.exit_code

    assert ended == code
    assert json.loads((tmp_path / "times.json").read_text()) == [
        {
            "checkpoint": "tiny",
            "method": "codec",
            "ours_seconds": [ours],
            "stock_seconds": [1.0],
            "ratio": ours,
            "limit": 1.2,
            "met": code == 0,
            "note": "a note",
        }
    ]


def test_stock_has_none_of_the_corrections(tiny_line: Parity, tmp_path: Path) -> None:
    (method,) = select_methods(["semantic_head"])
    path = tmp_path / "stock.pte"

    lower_stock(method, tiny_line.model, tiny_line.sizes, path)

    executor = PortableExecutor()
    executor.load(path)
    (spoken, *_) = tiny_line.evidence.cases[method.name]
    with pytest.raises(ExecutionError):
        executor.call("semantic_head", spoken.case.calls[0])
