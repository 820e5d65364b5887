"""The ledger: complete, reviewable, and never looser than what was measured without a reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.budget import COMMITTED, EXACT, LOCAL
from harness.budget.ledger import Ledger, Row, Run, committed, loose, read_ledger
from harness.budget.ledger_file import PAGE, page, write_ledger
from harness.methods import METHODS
from harness.methods.precision import PRECISIONS

RUN = Run("2026-11-28", "a machine", "portable", "tiny", 3, 12)


def row(**changes: object) -> Row:
    made = Row("cap", "max abs", 4e-6, 1e-6, "codec, random", "first", method="codec")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_no_allowance_is_looser_than_measured_without_a_reason() -> None:
    assert [" ".join(one.key) for one in loose(committed().rows)] == []


@pytest.mark.parametrize(
    ("changes", "is_loose"),
    [
        ({}, False),
        ({"allowed": 5e-6}, True),
        ({"allowed": 5e-6, "reason": "because"}, False),
        ({"allowed": 0.9e-6}, True),
        ({"allowed": 0.9e-6, "reason": "because"}, True),
        ({"allowed": 1e-9, "measured": 0.0}, True),
        ({"allowed": 0.0, "measured": 0.0}, False),
    ],
)
def test_what_is_loose(changes: dict[str, object], is_loose: bool) -> None:
    assert bool(loose([row(**changes)])) is is_loose


def test_every_row_says_who_measured_it() -> None:
    ledger = committed()
    assert {one.run for one in ledger.rows} == set(ledger.runs)
    assert all(run.seeds >= 1 and run.date for run in ledger.runs.values())


def test_no_allowance_has_two_rows() -> None:
    keys = [one.key for one in committed().rows]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("precision", [*PRECISIONS, "fp32-4w8w"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_is_capped_in_every_precision(method: object, precision: str) -> None:
    allowed = COMMITTED.of("mlx", precision, method.name)  # type: ignore[attr-defined]
    assert allowed is not None
    assert allowed.own is not None


def test_an_unknown_precision_has_no_allowance() -> None:
    assert COMMITTED.of("mlx", "fp8", "codec") is None
    assert COMMITTED.decision("fp8") is None


def test_a_regime_has_its_own_factor() -> None:
    usual = COMMITTED.of("mlx", "bf16-4w8w", "text_decoder", "exact-f32")
    rough = COMMITTED.of("mlx", "bf16-4w8w", "text_decoder", "exact-f32.bf16-class-in-16-bits")
    assert usual is not None
    assert usual.own is not None
    assert rough is not None
    assert rough.own is not None
    assert rough.own.rms > 2 * usual.own.rms
    assert rough.cap.rms > usual.cap.rms


def test_the_links_stand_in_the_ledger() -> None:
    assert committed().row("exact", "max abs").allowed == EXACT.of_scale
    assert {one.check for one in committed().table("local")} == {
        "gain", "gain_z", "bias", "bias_z", "rows_z", "scale", "scale_z",
    }  # fmt: skip
    assert committed().row("local", "gain").allowed == LOCAL.gain


def test_the_page_is_the_file() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_ledger())


def test_a_ledger_comes_back_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger({"first": RUN}, (row(), row(check="RMS error", reason="because")))
    write_ledger(ledger, tmp_path / "ledger.json", tmp_path / "ledger.md")
    assert read_ledger(tmp_path / "ledger.json") == ledger
