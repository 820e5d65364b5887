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
        ("golden statistics", Status.PASS, 5760),
    ]
    assert verdicts[0].summary == "all 111 codes of 3 frames equal"
    assert verdicts[1].summary.startswith("the same WAV bit for bit")


def other(spoken: WaveformStatistics, **changes: object) -> WaveformStatistics:
    """The statistics of another WAV: the hash no longer answers for them."""
    return dataclasses.replace(spoken, **{"pcm_sha256": "cd" * 32, **changes})


def test_another_wav_with_the_same_statistics_passes(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    _, verdict = check(golden, other(spoken), codes, SAME)
    assert verdict.status is Status.PASS
    assert verdict.elements == 18 + 8 + 3
    assert verdict.summary.startswith("all 20 statistics within")


def test_a_signal_with_nan_fails_though_its_file_is_the_same(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    broken = dataclasses.replace(spoken, nonfinite=1)
    _, verdict = check(golden, broken, codes, SAME)
    assert [gate.name for gate in verdict.failed_gates] == ["nonfinite"]


def test_every_statistic_has_its_drift_and_reason() -> None:
    names = [field.name for field in dataclasses.fields(WaveformStatistics)]
    names.remove("pcm_sha256")
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
        ("nonfinite", 1),
        ("float_peak", 1e-4),
        ("would_clip", 1),
        ("clipped", 1),
        ("longest_clip_run", 1),
        ("peak", 1e-4),
        ("rms_dbfs", -0.002),
        ("dc", 2e-5),
        ("crest_db", 0.003),
        ("leading_dbfs", 0.1),
        ("trailing_dbfs", -0.1),
        ("longest_gap", 0.01),
        ("seam_step_db", 0.1),
        ("tilt_db_per_octave", -0.02),
    ],
)
def test_each_statistic_alone_fails_with_old_new_and_allowed(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray, name: str, moved: float
) -> None:
    new = getattr(spoken, name) + moved
    _, verdict = check(golden, other(spoken, **{name: new}), codes, SAME)
    assert verdict.status is Status.FAIL
    assert [gate.name for gate in verdict.failed_gates] == [name]
    assert verdict.metrics[f"{name}.old"] == getattr(spoken, name)
    assert verdict.metrics[f"{name}.new"] == new
    assert verdict.summary.startswith(f"1 of 20 statistics drifted: {name}: old ")
    assert "allowed " in verdict.summary
    assert verdict.notes == ('If the change is meant: `voxtral-parity golden bless --reason "…"`.',)


def test_one_window_of_the_envelope_fails_and_is_named(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    envelope = (*spoken.envelope_dbfs[:2], spoken.envelope_dbfs[2] - 0.1)
    _, verdict = check(golden, other(spoken, envelope_dbfs=envelope), codes, SAME)
    assert [(gate.name, gate.where) for gate in verdict.failed_gates] == [
        ("envelope_dbfs", "at 0.2 s")
    ]


def test_a_shorter_envelope_fails(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray
) -> None:
    shorter = other(spoken, envelope_dbfs=spoken.envelope_dbfs[:2])
    _, verdict = check(golden, shorter, codes, SAME)
    assert [gate.name for gate in verdict.failed_gates] == ["envelope_dbfs"]


@pytest.mark.parametrize("name", ["peak", "tilt_db_per_octave", "rms_dbfs"])
def test_nan_in_a_statistic_fails(
    golden: Golden, spoken: WaveformStatistics, codes: np.ndarray, name: str
) -> None:
    broken = other(spoken, **{name: float("nan")})
    assert check(golden, broken, codes, SAME)[1].status is Status.FAIL


def _damaged(sound: np.ndarray, damage: str) -> np.ndarray:
    changed = sound.copy()
    if damage == "halved":
        changed /= 2
    elif damage == "low-passed":
        changed = (sound + np.roll(sound, 1)) / 2
    elif damage == "cut":
        changed = sound[:-100]
    elif damage == "delayed":
        changed = np.concatenate([np.zeros(24, np.float32), sound[:-24]])
    elif damage == "clipped":
        changed[100:104] = 1.1
    elif damage == "hole":
        changed[2000:2480] = 0
    elif damage == "click":
        changed[1920] += 0.9
    elif damage == "NaN":
        changed[5] = np.nan
    return changed


@pytest.mark.parametrize(
    ("damage", "gate"),
    [
        ("halved", "peak"),
        ("low-passed", "tilt_db_per_octave"),
        ("cut", "samples"),
        ("delayed", "leading_dbfs"),
        ("clipped", "would_clip"),
        ("hole", "longest_gap"),
        ("click", "seam_step_db"),
        ("NaN", "nonfinite"),
    ],
)
def test_a_damaged_sound_drifts(
    golden: Golden, sound: np.ndarray, codes: np.ndarray, damage: str, gate: str
) -> None:
    changed = _damaged(sound, damage)
    verdict = check(golden, statistics(changed, 24000, 3), codes, SAME)[1]
    assert verdict.status is Status.FAIL
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
