from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from harness.compare import Status, Verdict, WaveformStatistics
from harness.errors import InputError
from harness.golden import GoldenKey, Provenance, bless, changes, read
from harness.golden.store import codes_digest

REASON = "codec gains retuned in the preset"


def test_blessing_again_keeps_the_history(
    root: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
) -> None:
    louder = dataclasses.replace(spoken, peak=0.75)
    later = dataclasses.replace(provenance, date="2026-08-09")
    done = bless(root, key, louder, codes, later, REASON, parity)
    assert done.previous is not None
    assert done.previous.statistics == spoken
    golden = read(root, key)
    assert golden == done.golden
    assert golden is not None
    assert golden.statistics.peak == 0.75
    assert [(entry.reason, entry.date, entry.peak) for entry in golden.history] == [
        ("first light of the codec", "2026-08-01", spoken.peak)
    ]
    assert golden.history[0].codes_sha256 == codes_digest(golden.codes)
    assert [change.name for change in changes(done.previous, louder) if not change.gate.passed] == [
        "peak"
    ]
    third = bless(root, key, spoken, codes, later, "and back once more", parity)
    assert [entry.reason for entry in third.golden.history] == [REASON, "first light of the codec"]


@pytest.mark.parametrize("reason", ["", "   ", "update", " a        b "])
def test_a_blessing_needs_a_reason(
    root: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
    reason: str,
) -> None:
    with pytest.raises(InputError, match="a reason of at least 10 characters"):
        bless(root, key, spoken, codes, provenance, reason, parity)


@pytest.mark.parametrize("status", [Status.FAIL, Status.UNJUDGED])
def test_a_blessing_is_refused_while_parity_is_not_green(
    root: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
    status: Status,
) -> None:
    before = key.path(root).read_bytes()
    red = Verdict("codec", "edges", "waveform", status, "gain 0.50")
    with pytest.raises(InputError, match="1 of 2 parity verdicts did not pass, first codec, edges"):
        bless(root, key, spoken, codes, provenance, REASON, [*parity, red])
    assert key.path(root).read_bytes() == before


def test_a_blessing_is_refused_without_parity(
    root: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
) -> None:
    with pytest.raises(InputError, match="no parity verdict was given"):
        bless(root, key, spoken, codes, provenance, REASON, [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rms_dbfs": -math.inf}, "rms_dbfs is -inf"),
        ({"crest_db": math.nan}, "crest_db is nan"),
        ({"envelope_dbfs": (-20.0, math.nan, -20.0)}, "envelope_dbfs is"),
        ({"frames": 37}, "3 frames of codes for statistics of 37 frames"),
    ],
)
def test_only_finite_and_fitting_numbers_are_kept(
    root: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
    change: dict[str, object],
    reason: str,
) -> None:
    broken = dataclasses.replace(spoken, **change)
    with pytest.raises(InputError, match=reason):
        bless(root, key, broken, codes, provenance, REASON, parity)


def test_no_directory_is_made_for_a_mistyped_root(
    tmp_path: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        bless(tmp_path / "goldn", key, spoken, codes, provenance, REASON, parity)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_golden_as_it_was(
    root: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = key.path(root).read_bytes()

    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="disk full"):
        bless(root, key, spoken, codes, provenance, REASON, parity)
    assert key.path(root).read_bytes() == before
    assert list(key.path(root).parent.iterdir()) == [key.path(root)]
