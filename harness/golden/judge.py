"""Compare a run with its golden: what it spoke from first, then the codes, then the sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.compare import words
from harness.compare.sound import BAND_EDGES_HZ, ENVELOPE_SECONDS, WaveformStatistics
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.errors import InputError
from harness.golden.store import Golden, GoldenKey

__all__ = [
    "DRIFT",
    "STATISTICS",
    "Change",
    "Drift",
    "changes",
    "check_precision",
    "judge",
    "missing",
    "moved",
]


STATISTICS = "golden statistics"
"""The case of the verdict on a waveform's statistics."""


@dataclass(frozen=True)
class Drift:
    """How far one statistic may move: by `allowed` in its own `unit`, and why.

    `relative` counts the movement in units of the golden's value.
    """

    allowed: float
    unit: str
    reason: str
    relative: bool = False


@dataclass(frozen=True)
class Change:
    """One statistic in the golden and in the run, and how far it moved."""

    old: float
    new: float
    gate: Gate

    def __str__(self) -> str:
        gate = self.gate
        return (
            f"{f'{gate.name} {gate.where}'.rstrip()}: old {self.old:.6g}, new {self.new:.6g}, "
            f"moved {words.number(gate.value)} {gate.unit}, allowed {words.number(gate.allowed)}"
        )


_EXACT = "a count; the same codes through the same codec cannot change it"
_FP32 = "fp32 codecs agree to 1e-6 of the peak across CPUs and BLAS libraries: "
_PEAK = _FP32 + "a hundred times that, 0.001 dB, and one 16-bit step of 0.3 of full scale"
_QUIET = _FP32 + "in a window 40 dB below the peak that is 0.01 dB at most"

DRIFT: Mapping[str, Mapping[str, Drift]] = {
    "fp32": {
        "sample_rate": Drift(0, "Hz", _EXACT),
        "frames": Drift(0, "frames", _EXACT),
        "samples": Drift(0, "samples", _EXACT),
        "duration": Drift(0, "s", _EXACT),
        "nonfinite": Drift(0, "samples", "a codec of finite weights makes finite samples"),
        "float_peak": Drift(1e-4, "of old", _PEAK, relative=True),
        "would_clip": Drift(0, "samples", _EXACT),
        "peak": Drift(1e-4, "of old", _PEAK, relative=True),
        "clipped": Drift(0, "samples", _EXACT),
        "longest_clip_run": Drift(0, "samples", _EXACT),
        "rms_dbfs": Drift(1e-3, "dB", _FP32 + "a hundred times that is 0.0009 dB"),
        "dc": Drift(1e-5, "of full scale", _FP32 + "a mean moves no more than its samples"),
        "crest_db": Drift(2e-3, "dB", "peak and RMS may each move by 0.001 dB"),
        "leading_dbfs": Drift(5e-2, "dB", _QUIET),
        "trailing_dbfs": Drift(5e-2, "dB", _QUIET),
        "longest_gap": Drift(5e-3, "s", "a sample that crosses the threshold ends a gap early"),
        "tilt_db_per_octave": Drift(
            1e-2, "dB/octave", _FP32 + "but the faintest bins weigh as much as the loudest"
        ),
        "seam_step_db": Drift(5e-2, "dB", _FP32 + "a step is a difference of two samples"),
        "band_dbfs": Drift(5e-2, "dB", _FP32 + "a band 40 dB below the rest moves by 0.01 dB"),
        "envelope_dbfs": Drift(5e-2, "dB", _QUIET),
    },
}
"""Allowed drift by precision and statistic; a precision that was not measured has none."""

_LISTS: Mapping[str, Callable[[int], str]] = {
    "envelope_dbfs": lambda window: f"at {window * ENVELOPE_SECONDS:.1f} s",
    "band_dbfs": lambda band: f"from {BAND_EDGES_HZ[band]} Hz",
}
"""Statistics that are lists, and where an entry of each is."""


def judge(golden: Golden | None, run: Golden) -> list[Verdict]:
    """Compare a run with its golden (None if there is none, which is *unjudged*).

    Parameters
    ----------
    run
        What blessing the run would write.

    Returns
    -------
    list of Verdict
        One failed verdict if what it spoke from changed (checkpoint, voice), since then
        everything may; otherwise one on the codes and one on the statistics.

    Raises
    ------
    InputError
        No drift is declared for the golden's precision.
    """
    if golden is None:
        return [missing(run.key)]
    names = dict.fromkeys((*golden.inputs, *run.inputs))
    changed = [name for name in names if golden.inputs.get(name) != run.inputs.get(name)]
    if changed:
        return [_judge_inputs(golden, run, changed)]
    return [_judge_codes(golden, run), _judge_statistics(golden, run)]


def missing(key: GoldenKey) -> Verdict:
    """The verdict where no golden exists: unjudged, with the command that makes one."""
    summary = f"there is no golden {key}; `{_bless_command(key)}` keeps this run's statistics"
    return Verdict(key.method, f"golden {key.regime}", "golden", Status.UNJUDGED, summary)


def check_precision(precision: str) -> None:
    """Refuse a precision for which no drift was measured."""
    if precision not in DRIFT:
        raise InputError(
            f"no golden drift is declared for precision {precision!r}; measure it and add it to "
            f"harness/golden/judge.py (has {', '.join(DRIFT)})"
        )


def changes(golden: Golden, run: Golden) -> list[Change]:
    """Every statistic of `golden` beside the same of `run`, in order of `DRIFT`."""
    check_precision(golden.key.precision)
    return moved(golden.statistics, run.statistics, DRIFT[golden.key.precision])


def moved(
    old: WaveformStatistics, new: WaveformStatistics, drifts: Mapping[str, Drift]
) -> list[Change]:
    """Every statistic of `old` beside the same of `new`, in order of `drifts`."""
    found = []
    for name, drift in drifts.items():
        olds = np.atleast_1d(getattr(old, name)).astype(np.float64)
        news = np.atleast_1d(getattr(new, name)).astype(np.float64)
        if olds.size != news.size:
            where = "in number of windows"
            gate = Gate(name, abs(olds.size - news.size), 0, "windows", where)
            found.append(Change(olds.size, news.size, gate))
            continue
        gaps = np.abs(news - olds)
        if drift.relative:
            gaps = np.where(gaps == 0, 0.0, gaps / np.maximum(np.abs(olds), 1e-300))
        worst = int(np.argmax(gaps))  # NaN counts as the greatest
        where = _LISTS[name](worst) if name in _LISTS else ""
        gate = Gate(name, float(gaps[worst]), drift.allowed, drift.unit, where)
        found.append(Change(float(olds[worst]), float(news[worst]), gate))
    return found


def _judge_inputs(golden: Golden, run: Golden, changed: list[str]) -> Verdict:
    metrics: dict[str, Metric] = {}
    told = []
    for name in changed:
        old, new = golden.inputs.get(name, "none"), run.inputs.get(name, "none")
        metrics |= {f"{name}.old": old, f"{name}.new": new}
        told.append(f"the {name} itself changed: sha256 {old[:12]}… then, {new[:12]}… now")
    notes = ("Codes and sound were not compared: another input says something else.",
             f"If the change is meant: `{_bless_command(golden.key)}`.")  # fmt: skip
    summary = f"{'; '.join(told)} (blessed on {golden.date})"
    gate = Gate("inputs", len(changed), 0, "files")
    return Verdict(golden.key.method, "golden inputs", "golden", Status.FAIL, summary, metrics,
                   (gate,), len(golden.inputs), notes)  # fmt: skip


def _judge_codes(golden: Golden, run: Golden) -> Verdict:
    old, new = np.array(golden.codes), np.array(run.codes)
    status, gates, elements = Status.FAIL, tuple[Gate, ...](), 0
    if old.shape != new.shape:
        summary = (
            f"expected codes of {words.shape(old.shape)} (frames×codebooks), "
            f"got {words.shape(new.shape)}"
        )
    elif not old.size:
        status, summary = Status.UNJUDGED, "nothing was compared: no codes"
    else:
        wrong, elements = np.argwhere(old != new), int(old.size)
        gates = (Gate("codes", len(wrong), 0, "codes"),)
        codes = words.count(old.size, "code")
        if len(wrong):
            frame, book = (int(i) for i in wrong[0])
            summary = (
                f"{len(wrong):,} of {codes} differ, first at frame {frame}, "
                f"codebook {book}: {old[frame, book]} → {new[frame, book]}"
            )
        else:
            status = Status.PASS
            summary = f"all {codes} of {words.count(len(old), 'frame')} equal"
    return Verdict(golden.key.method, "golden codes", "golden", status, summary, {}, gates,
                   elements)  # fmt: skip


def _judge_statistics(golden: Golden, run: Golden) -> Verdict:
    rows = changes(golden, run)
    drifted = [row for row in rows if not row.gate.passed]
    old, new = golden.statistics.pcm_sha256, run.statistics.pcm_sha256
    metrics: dict[str, Metric] = {"sha256.old": old, "sha256.new": new}
    for row in rows:
        metrics |= {f"{row.gate.name}.old": row.old, f"{row.gate.name}.new": row.new}
    if drifted:
        summary = f"{len(drifted)} of {len(rows)} statistics drifted: {drifted[0]}"
    else:
        summary = f"all {len(rows)} statistics within the drift allowed since {golden.date}"
    if old == new:
        summary += f"; the same WAV bit for bit: sha256 {old[:12]}…"
    elements = sum(np.size(getattr(golden.statistics, row.gate.name)) for row in rows)
    notes = (f"If the change is meant: `{_bless_command(golden.key)}`.",) if drifted else ()
    status, gates = Status.FAIL if drifted else Status.PASS, tuple(row.gate for row in rows)
    return Verdict(golden.key.method, STATISTICS, "golden", status, summary, metrics,
                   gates, elements, notes)  # fmt: skip


def _bless_command(key: GoldenKey) -> str:
    options = "" if key.checkpoint == "tiny" else f" --checkpoint {key.checkpoint}"
    options += "" if key.precision == "fp32" else f" --precision {key.precision}"
    return f'voxtral-parity golden bless{options} --reason "…"'
