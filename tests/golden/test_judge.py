from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pytest

from harness.cli.golden import golden_bless
from harness.compare import Status, Verdict, WaveformStatistics, statistics
from harness.errors import InputError
from harness.golden import Golden, GoldenKey, as_codes, judge
from harness.golden.judge import DRIFT, changes


@pytest.fixture
def golden(run: Golden) -> Golden:
    return dataclasses.replace(run, reason="first light of the codec")


def altered(run: Golden, **changed: object) -> Golden:
    return dataclasses.replace(run, statistics=dataclasses.replace(run.statistics, **changed))


def sounding(run: Golden, sound: np.ndarray) -> Golden:
    return dataclasses.replace(run, statistics=statistics(sound, 24000, 3))


def test_the_same_run_passes(golden: Golden, run: Golden) -> None:
    verdicts = judge(golden, run)
    assert [(v.case, v.status, v.elements) for v in verdicts] == [
        ("golden codes", Status.PASS, 111),
        ("golden statistics", Status.PASS, 18 + 8 + 3),
    ]
    assert verdicts[0].summary == "all 111 codes of 3 frames equal"
    assert verdicts[1].summary.startswith("all 20 statistics within the drift")
    assert "the same WAV bit for bit" in verdicts[1].summary


def test_another_wav_with_the_same_statistics_passes(golden: Golden, run: Golden) -> None:
    _, verdict = judge(golden, altered(run, pcm_sha256="cd" * 32))
    assert verdict.status is Status.PASS
    assert "bit for bit" not in verdict.summary


def test_every_statistic_has_its_drift_and_reason() -> None:
    names = [field.name for field in dataclasses.fields(WaveformStatistics)]
    names.remove("pcm_sha256")
    for drifts in DRIFT.values():
        assert sorted(drifts) == sorted(names)
        assert all(drift.reason for drift in drifts.values())


def test_rounding_noise_passes(golden: Golden, run: Golden, sound: np.ndarray) -> None:
    noise = 1e-6 * np.abs(sound).max() * np.random.default_rng(3).standard_normal(sound.shape)
    near = sounding(run, sound + noise.astype(np.float32))
    assert [v.status for v in judge(golden, near)] == [Status.PASS] * 2


@pytest.mark.parametrize("side", ["run", "golden"])
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
def test_each_statistic_alone_fails_though_the_hash_of_the_wav_is_equal(
    golden: Golden, run: Golden, side: str, name: str, moved: float
) -> None:
    new = getattr(run.statistics, name) + moved
    pair = (golden, altered(run, **{name: new}))
    if side == "golden":
        pair = (altered(golden, **{name: new}), run)
    _, verdict = judge(*pair)
    assert verdict.status is Status.FAIL
    assert [gate.name for gate in verdict.failed_gates] == [name]
    assert verdict.metrics[f"{name}.old"] == getattr(pair[0].statistics, name)
    assert verdict.metrics[f"{name}.new"] == getattr(pair[1].statistics, name)
    assert verdict.summary.startswith(f"1 of 20 statistics drifted: {name}: old ")
    assert "allowed " in verdict.summary
    assert verdict.notes == ('If the change is meant: `voxtral-parity golden bless --reason "…"`.',)


def test_one_window_of_the_envelope_fails_and_is_named(golden: Golden, run: Golden) -> None:
    old = run.statistics.envelope_dbfs
    _, verdict = judge(golden, altered(run, envelope_dbfs=(*old[:2], old[2] - 0.1)))
    assert [(gate.name, gate.where) for gate in verdict.failed_gates] == [
        ("envelope_dbfs", "at 0.2 s")
    ]


def test_a_shorter_envelope_fails(golden: Golden, run: Golden) -> None:
    shorter = altered(run, envelope_dbfs=run.statistics.envelope_dbfs[:2])
    _, verdict = judge(golden, shorter)
    assert [gate.name for gate in verdict.failed_gates] == ["envelope_dbfs"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("peak", np.nan),
        ("tilt_db_per_octave", np.nan),
        ("rms_dbfs", np.nan),
        ("envelope_dbfs", (-20.0, np.nan, -20.0)),
    ],
)
def test_nan_in_a_statistic_fails(golden: Golden, run: Golden, name: str, value: object) -> None:
    _, verdict = judge(golden, altered(run, **{name: value}))
    assert name in [gate.name for gate in verdict.failed_gates]


def test_a_relative_statistic_of_silence_does_not_divide_by_zero(run: Golden) -> None:
    silent = altered(run, peak=0.0)
    assert judge(silent, silent)[1].status is Status.PASS
    assert [gate.name for gate in judge(silent, run)[1].failed_gates] == ["peak"]


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
    golden: Golden, run: Golden, sound: np.ndarray, damage: str, gate: str
) -> None:
    _, verdict = judge(golden, sounding(run, _damaged(sound, damage)))
    assert verdict.status is Status.FAIL
    assert gate in [failed.name for failed in verdict.failed_gates]


def with_codes(run: Golden, codes: np.ndarray) -> Golden:
    return dataclasses.replace(run, codes=as_codes(codes))


def test_changed_codes_fail_with_count_and_place(golden: Golden, run: Golden) -> None:
    changed = np.array(run.codes).T
    changed[5, 1] += 1
    changed[0, 2] += 1
    verdict, _ = judge(golden, with_codes(run, changed))
    assert verdict.status is Status.FAIL
    assert verdict.summary == "2 of 111 codes differ, first at frame 1, codebook 5: 16 → 17"


def test_another_number_of_frames_fails(golden: Golden, run: Golden) -> None:
    verdict, _ = judge(golden, with_codes(run, np.array(run.codes).T[:, :2]))
    assert verdict.status is Status.FAIL
    assert verdict.summary == "expected codes of 3×37 (frames×codebooks), got 2×37"


def test_no_codes_at_all_are_unjudged(golden: Golden, run: Golden) -> None:
    empty = [dataclasses.replace(side, codes=()) for side in (golden, run)]
    verdict, _ = judge(*empty)
    assert verdict.status is Status.UNJUDGED


@pytest.mark.parametrize("name", ["checkpoint", "voice"])
def test_a_changed_input_fails_and_nothing_else_is_compared(
    golden: Golden, run: Golden, name: str
) -> None:
    other = dataclasses.replace(run, inputs={**run.inputs, name: "cd" * 32})
    (verdict,) = judge(golden, other)
    assert verdict.status is Status.FAIL
    then = run.inputs[name][:12]
    assert verdict.summary == (
        f"the {name} itself changed: sha256 {then}… then, cdcdcdcdcdcd… now (blessed on 2026-08-01)"
    )
    assert verdict.metrics == {f"{name}.old": run.inputs[name], f"{name}.new": "cd" * 32}


def test_an_input_that_only_one_side_names_is_a_change(golden: Golden, run: Golden) -> None:
    fewer = dataclasses.replace(golden, inputs={"checkpoint": run.inputs["checkpoint"]})
    for old, new in ((fewer, run), (run, fewer)):
        (verdict,) = judge(old, new)
        assert verdict.status is Status.FAIL
        assert "the voice itself changed" in verdict.summary


def suggested(verdict: Verdict) -> str:
    (command,) = re.findall(r"`voxtral-parity golden bless([^`]*)`", verdict.summary)
    return str(command)


@pytest.mark.parametrize(
    ("checkpoint", "options"),
    [
        ("tiny", ' --precision bf16 --reason "…"'),
        ("small", ' --checkpoint small --precision bf16 --reason "…"'),
    ],
)
def test_a_missing_golden_is_unjudged_with_the_command_that_makes_it(
    run: Golden, checkpoint: str, options: str
) -> None:
    (verdict,) = judge(
        None, dataclasses.replace(run, key=GoldenKey(checkpoint, "codec", "bf16", "metal"))
    )
    assert verdict.status is Status.UNJUDGED
    assert suggested(verdict) == options
    known = inspect.signature(golden_bless).parameters
    for option in re.findall(r"--([\w-]+)", options):
        assert option.replace("-", "_") in known


def test_a_precision_without_declared_drift_is_refused(golden: Golden, run: Golden) -> None:
    other = dataclasses.replace(golden, key=GoldenKey("tiny", "codec", "bf16", "exact-f32"))
    with pytest.raises(InputError, match="no golden drift is declared for precision 'bf16'"):
        changes(other, run)
