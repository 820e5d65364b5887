from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from harness.compare import Status, WaveformStatistics, statistics
from harness.errors import InputError
from harness.golden import (
    DRIFT,
    Golden,
    GoldenKey,
    changes,
    check,
    check_file,
    missing,
    read,
)

SAME = "ab" * 32


@pytest.fixture
def golden(root: Path, key: GoldenKey) -> Golden:
    found = read(root, key)
    assert found is not None
    return found


def test_the_same_run_passes(golden: Golden, spoken: WaveformStatistics, codes: np.ndarray) -> None:
    verdicts = check(golden, spoken, codes, SAME)
    assert [(v.case, v.status, v.elements) for v in verdicts] == [
        ("golden codes", Status.PASS, 111),
        ("golden statistics", Status.PASS, 14),
    ]
    assert verdicts[0].summary == "all 111 codes of 3 frames equal"


def test_every_statistic_has_its_drift_and_reason() -> None:
    names = [field.name for field in dataclasses.fields(WaveformStatistics)]
    for drifts in DRIFT.values():
        assert sorted(drifts) == sorted(names)
        assert all(drift.reason for drift in drifts.values())


def test_rounding_noise_passes(golden: Golden, sound: np.ndarray, codes: np.ndarray) -> None:
    noise = 1e-6 * np.abs(sound).max() * np.random.default_rng(3).standard_normal(sound.shape)
    near = statistics(sound + noise.astype(np.float32), 24000, 3)
    assert [v.status for v in check(golden, near, codes, SAME)] == [Status.PASS] * 2


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("sample_rate", 1),
        ("frames", 1),
        ("samples", 1),
        ("duration", 1e-9),
        ("clipped", 1),
        ("longest_clip_run", 1),
        ("peak", 1e-4),
        ("rms_dbfs", -0.002),
        ("dc", 2e-5),
        ("crest_db", 0.003),
        ("tilt_db_per_octave", -0.02),
    ],
)
def test_each_statistic_alone_fails_with_old_new_and_allowed(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray, name: str, moved: float
) -> None:
    new = getattr(spoken, name) + moved
    _, verdict = check(golden, dataclasses.replace(spoken, **{name: new}), codes, SAME)
    assert verdict.status is Status.FAIL
    assert [gate.name for gate in verdict.failed_gates] == [name]
    assert verdict.metrics[f"{name}.old"] == getattr(spoken, name)
    assert verdict.metrics[f"{name}.new"] == new
    assert verdict.summary.startswith(f"1 of 12 statistics drifted: {name}: old ")
    assert "allowed " in verdict.summary
    assert verdict.notes == ('If the change is meant: `voxtral-parity golden bless --reason "…"`.',)


def test_one_window_of_the_envelope_fails_and_is_named(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    envelope = (*spoken.envelope_dbfs[:2], spoken.envelope_dbfs[2] - 0.1)
    _, verdict = check(golden, dataclasses.replace(spoken, envelope_dbfs=envelope), codes, SAME)
    assert [(gate.name, gate.where) for gate in verdict.failed_gates] == [
        ("envelope_dbfs", "at 0.2 s")
    ]


def test_a_shorter_envelope_fails(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    shorter = dataclasses.replace(spoken, envelope_dbfs=spoken.envelope_dbfs[:2])
    _, verdict = check(golden, shorter, codes, SAME)
    assert [gate.name for gate in verdict.failed_gates] == ["envelope_dbfs"]


@pytest.mark.parametrize("name", ["peak", "tilt_db_per_octave", "rms_dbfs"])
def test_nan_in_a_statistic_fails(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray, name: str
) -> None:
    broken = dataclasses.replace(spoken, **{name: float("nan")})
    assert check(golden, broken, codes, SAME)[1].status is Status.FAIL


def test_halved_gain_and_low_pass_drift(
    golden: Golden, sound: np.ndarray, codes: np.ndarray
) -> None:
    low = (sound + np.roll(sound, 1)) / 2
    for changed, gate in ((sound / 2, "peak"), (low, "tilt_db_per_octave")):
        verdict = check(golden, statistics(changed, 24000, 3), codes, SAME)[1]
        assert gate in [failed.name for failed in verdict.failed_gates]


def test_changed_codes_fail_with_count_and_place(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    changed = codes.copy()
    changed[5, 1] += 1
    changed[0, 2] += 1
    verdict, _ = check(golden, spoken, changed, SAME)
    assert verdict.status is Status.FAIL
    assert verdict.summary == ("2 of 111 codes differ, first at frame 1, codebook 5: 16 → 17")
    assert verdict.metrics["sha256.old"] != verdict.metrics["sha256.new"]


def test_another_number_of_frames_fails(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    verdict, _ = check(golden, spoken, codes[:, :2], SAME)
    assert verdict.status is Status.FAIL
    assert verdict.summary == "expected codes of 3×37 (frames×codebooks), got 2×37"


def test_no_codes_at_all_are_unjudged(golden: Golden, spoken: WaveformStatistics) -> None:
    empty = dataclasses.replace(golden, codes=())
    verdict, _ = check(empty, spoken, np.zeros((0, 0), np.int64), SAME)
    assert verdict.status is Status.UNJUDGED


def test_a_changed_checkpoint_fails_and_nothing_else_is_compared(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    (verdict,) = check(golden, spoken, codes, "cd" * 32)
    assert verdict.status is Status.FAIL
    assert verdict.summary == (
        "the checkpoint itself changed: sha256 abababababab… when blessed on 2026-08-01, "
        "cdcdcdcdcdcd… now"
    )


def test_a_missing_golden_is_unjudged_with_the_command_that_makes_it(
    tmp_path: Path, key: GoldenKey, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    (verdict,) = check_file(tmp_path, key, spoken, codes, SAME)
    assert verdict.status is Status.UNJUDGED
    assert '`voxtral-parity golden bless --reason "…"`' in verdict.summary


def test_the_command_names_what_is_not_the_default() -> None:
    verdict = missing(GoldenKey("small", "codec", "bf16", "metal"))
    command = 'voxtral-parity golden bless --checkpoint small --precision bf16 --reason "…"'
    assert command in verdict.summary


def test_a_file_is_checked(
    root: Path, key: GoldenKey, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    assert len(check_file(root, key, spoken, codes, SAME)) == 2


def test_a_precision_without_declared_drift_is_refused(
    golden: Golden, spoken: WaveformStatistics
) -> None:
    other = dataclasses.replace(golden, key=GoldenKey("tiny", "codec", "bf16", "cpu"))
    with pytest.raises(InputError, match="no golden drift is declared for precision 'bf16'"):
        changes(other, spoken)
