"""What waits to be blessed, from the files alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fixtures.command_line import typed
from harness.compare import Verdict, statistics
from harness.errors import InputError
from harness.golden import Golden, GoldenKey, bless, pins, read, store
from harness.golden.beside import accept, read_waiting
from harness.golden.pins import Pin, Pins
from harness.golden.waiting import list_waiting, waiting_path
from harness.report.golden_page import to_golden_page
from tests.report.test_page import text_of

REASON = "another codec says the same"


@pytest.fixture
def louder(run: Golden, sound: np.ndarray) -> Golden:
    told = statistics(1.01 * sound, 24000, frames=3)
    return dataclasses.replace(run, statistics=told, reason="waits to be blessed")


@pytest.fixture
def waiting(root: Path, key: GoldenKey, louder: Golden) -> Path:
    """A goldens' directory with one golden, and a louder one that waits for its place."""
    store.write(waiting_path(key.path(root)), louder)
    return root


def pinned(scale: float = 1.0) -> Pins:
    values = scale * np.linspace(-1, 1, 99)
    methods = {"codec": {"random": Pin.of([values]), "zeros": Pin.of([np.ones(3)])}}
    return Pins("tiny", "fp32", "ab" * 32, methods, {}, REASON, "2026-08-01", {}, "exact-f32")


def test_a_waiting_golden_is_shown_beside_the_one_that_is_kept(waiting: Path) -> None:
    (one,) = read_waiting(waiting)
    assert one.name == "tiny/codec/fp32/exact-f32"
    rows = {row.name: row for row in one.rows()}
    assert rows["rms_dbfs"].new - rows["rms_dbfs"].old == pytest.approx(0.0864, abs=1e-3)
    assert not rows["rms_dbfs"].holds
    assert rows["frames"].holds
    assert "statistics drifted" in one.sentences()[0]
    assert "rms_dbfs: old -19.98" in str(rows["rms_dbfs"])


def test_what_is_kept_and_unused_files_are_not_touched_by_what_waits(
    waiting: Path, key: GoldenKey, run: Golden
) -> None:
    kept = read(waiting, key)
    assert kept is not None
    assert kept.statistics == run.statistics
    assert store.unused(waiting, ("codec",), ("fp32",)) == []
    assert list_waiting(waiting) == [key.path(waiting)]


def test_accepting_moves_it_into_its_place(waiting: Path, key: GoldenKey, louder: Golden) -> None:
    (one,) = accept(waiting, REASON)
    assert one.name == str(key)
    assert read(waiting, key) == dataclasses.replace(louder, reason=REASON)
    assert list_waiting(waiting) == []
    with pytest.raises(InputError, match="nothing waits"):
        accept(waiting, REASON)


def test_a_reason_is_asked_for(waiting: Path, key: GoldenKey) -> None:
    with pytest.raises(InputError, match="at least 10 characters"):
        accept(waiting, "ok")
    assert list_waiting(waiting) == [key.path(waiting)]


def test_blessing_a_run_ends_what_waited(waiting: Path, run: Golden, parity: list[Verdict]) -> None:
    bless(waiting, dataclasses.replace(run, reason=REASON), parity)
    assert list_waiting(waiting) == []


def test_pins_of_programs_wait_as_well(tmp_path: Path, parity: list[Verdict]) -> None:
    assert pins.bless(tmp_path, pinned(), parity) == ["first pins of tiny/outputs/fp32/exact-f32"]
    place = tmp_path / "outputs" / "tiny" / "fp32" / "exact-f32.json"
    assert pins.read(tmp_path, "tiny", "fp32", "exact-f32") == pinned()
    assert pins.list_pins(tmp_path) == [pinned()]
    assert store.list_goldens(tmp_path) == []
    pins.write(waiting_path(place), pinned(1.001))
    (one,) = read_waiting(tmp_path)
    assert one.sentences()[0].startswith(
        "codec: the program's outputs moved by 0.0010 of their RMS"
    )
    broken = [row.name for row in one.rows() if not row.holds]
    assert broken == ["codec, random", "codec, random, one element"]
    accept(tmp_path, REASON)
    assert pins.read(tmp_path, "tiny", "fp32", "exact-f32") == pinned(1.001)


def test_a_first_one_is_shown_as_such(tmp_path: Path, key: GoldenKey, louder: Golden) -> None:
    store.write(waiting_path(key.path(tmp_path)), louder)
    (one,) = read_waiting(tmp_path)
    assert (one.sentences(), one.rows()) == (["nothing is kept so far"], [])
    accept(tmp_path, REASON)
    assert read(tmp_path, key) is not None


@pytest.mark.parametrize("content", ["", "{}", '{"format": "voxtral-parity golden"}'])
def test_a_damaged_one_is_refused(content: str, waiting: Path, key: GoldenKey) -> None:
    waiting_path(key.path(waiting)).write_text(content)
    with pytest.raises(InputError, match=r"damaged|not readable JSON"):
        read_waiting(waiting)


def test_one_that_waits_where_no_golden_is_is_refused(root: Path) -> None:
    (root / "stray.json.new").write_text("{}")
    with pytest.raises(InputError, match="waits where no golden is"):
        read_waiting(root)


def test_the_page_shows_numbers_and_a_picture(waiting: Path) -> None:
    page = to_golden_page(read_waiting(waiting))
    said = text_of(page)
    assert "1 golden waits to be blessed." in said
    assert "FAIL rms_dbfs" in said
    assert page.count("<svg") == 1
    assert "envelope, each 100 ms" in page


def test_the_commands_show_and_accept_what_waits(
    waiting: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.golden.default_root", lambda: waiting)
    assert typed(monkeypatch, "golden", "list") == 0
    assert "exact-f32.json.new waits" in capsys.readouterr().out
    assert typed(monkeypatch, "golden", "diff", "--html", str(waiting / "page.html")) == 1
    assert "rms_dbfs: old" in capsys.readouterr().out
    assert (waiting / "page.html").exists()
    assert typed(monkeypatch, "golden", "bless", "--waiting", "--reason", REASON) == 0
    assert "blessed tiny/codec/fp32/exact-f32" in capsys.readouterr().out
    assert typed(monkeypatch, "golden", "diff") == 0
    assert "nothing waits" in capsys.readouterr().out
