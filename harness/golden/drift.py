"""Compare a run with its golden: the checkpoint first, then the codes, then the sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.arrays import Array
from harness.compare import words
from harness.compare.sound import BAND_EDGES_HZ, ENVELOPE_SECONDS, WaveformStatistics
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.errors import InputError
from harness.golden.store import Golden, GoldenKey, as_codes, codes_digest, read

__all__ = ["DRIFT", "Change", "Drift", "changes", "check", "check_file", "missing"]


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
    """One statistic, then and now; `moved` counts as its `Drift` does, `where` if it is a list."""

    name: str
    old: float
    new: float
    moved: float
    drift: Drift
    where: str = ""

    @property
    def gate(self) -> Gate:
        """The same as a gate."""
        return Gate(self.name, self.moved, self.drift.allowed, self.drift.unit, self.where)

    def __str__(self) -> str:
        return (
            f"{f'{self.name} {self.where}'.rstrip()}: old {self.old:.6g}, new {self.new:.6g}, "
            f"moved {words.number(self.moved)} {self.drift.unit}, "
            f"allowed {words.number(self.drift.allowed)}"
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


def check_file(
    root: Path,
    key: GoldenKey,
    statistics: WaveformStatistics,
    codes: Array,
    checkpoint_digest: str,
) -> list[Verdict]:
    """`check` against the golden of `key` below `root`, or `missing` if there is none."""
    golden = read(root, key)
    if golden is None:
        return [missing(key)]
    return check(golden, statistics, codes, checkpoint_digest)


def missing(key: GoldenKey) -> Verdict:
    """The verdict where no golden exists: unjudged, with the command that makes one."""
    return Verdict(
        key.method,
        f"golden {key.regime}",
        "golden",
        Status.UNJUDGED,
        f"there is no golden {key}; `{_bless_command(key)}` keeps this run's statistics",
    )


def check(
    golden: Golden,
    statistics: WaveformStatistics,
    codes: Array,
    checkpoint_digest: str,
) -> list[Verdict]:
    """Compare a run with `golden`.

    Parameters
    ----------
    statistics
        Of the run's waveform.
    codes
        The codes it was made from, int (n_codebooks, frames).
    checkpoint_digest
        sha256 of the run's checkpoint.

    Returns
    -------
    list of Verdict
        One failed verdict if the checkpoint itself changed, since then everything may;
        otherwise one on the codes and one on the statistics.

    Raises
    ------
    InputError
        No drift is declared for the golden's precision.
    """
    if checkpoint_digest != golden.provenance.checkpoint_digest:
        return [_changed_checkpoint(golden, checkpoint_digest)]
    return [_check_codes(golden, codes), _check_statistics(golden, statistics)]


def changes(golden: Golden, statistics: WaveformStatistics) -> list[Change]:
    """Every statistic of `golden` beside the same of `statistics`, in order of `DRIFT`.

    Raises
    ------
    InputError
        No drift is declared for the golden's precision.
    """
    drifts = DRIFT.get(golden.key.precision)
    if drifts is None:
        raise InputError(
            f"no golden drift is declared for precision {golden.key.precision!r}; "
            f"measure it and add it to harness/golden/drift.py (has {', '.join(DRIFT)})"
        )
    found = []
    for name, drift in drifts.items():
        old, new = getattr(golden.statistics, name), getattr(statistics, name)
        if name in _LISTS:
            found.append(_list_change(name, old, new, drift))
            continue
        moved = abs(new - old)
        if drift.relative:
            moved = moved / abs(old) if old else (math.inf if moved else 0.0)
        found.append(Change(name, old, new, moved, drift))
    return found


def _changed_checkpoint(golden: Golden, digest: str) -> Verdict:
    old = golden.provenance.checkpoint_digest
    return Verdict(
        golden.key.method,
        "golden checkpoint",
        "golden",
        Status.FAIL,
        f"the checkpoint itself changed: sha256 {old[:12]}… when blessed on "
        f"{golden.provenance.date}, {digest[:12]}… now",
        {"digest.old": old, "digest.new": digest},
        (Gate("checkpoint", 1, 0, "digests"),),
        1,
        ("Codes and sound were not compared: another checkpoint says something else.",
         f"If the change is meant: `{_bless_command(golden.key)}`."),
    )  # fmt: skip


def _check_codes(golden: Golden, codes: Array) -> Verdict:
    found = as_codes(codes)
    old, new = np.array(golden.codes), np.array(found)
    metrics: dict[str, Metric] = {
        "sha256.old": codes_digest(golden.codes),
        "sha256.new": codes_digest(found),
    }
    subject, case = golden.key.method, "golden codes"
    if old.shape != new.shape:
        summary = (
            f"expected codes of {words.shape(old.shape)} (frames×codebooks), "
            f"got {words.shape(new.shape)}"
        )
        return Verdict(subject, case, "golden", Status.FAIL, summary, metrics)
    if not old.size:
        summary = "nothing was compared: no codes"
        return Verdict(subject, case, "golden", Status.UNJUDGED, summary, metrics)
    wrong = np.argwhere(old != new)
    gate = Gate("codes", len(wrong), 0, "codes")
    if gate.passed:
        summary = f"all {words.count(old.size, 'code')} of {words.count(len(old), 'frame')} equal"
        status = Status.PASS
    else:
        frame, book = (int(i) for i in wrong[0])
        summary = (
            f"{len(wrong):,} of {words.count(old.size, 'code')} differ, first at frame {frame}, "
            f"codebook {book}: {old[frame, book]} → {new[frame, book]}"
        )
        status = Status.FAIL
        metrics |= {"first_frame": frame, "first_codebook": book}
    return Verdict(subject, case, "golden", status, summary, metrics, (gate,), int(old.size))


def _check_statistics(golden: Golden, statistics: WaveformStatistics) -> Verdict:
    digest = golden.statistics.pcm_sha256
    if statistics.pcm_sha256 == digest and not statistics.nonfinite:
        return Verdict(
            golden.key.method,
            "golden statistics",
            "golden",
            Status.PASS,
            f"the same WAV bit for bit: sha256 {digest[:12]}… of "
            f"{words.count(statistics.samples, 'sample')}",
            {"sha256.old": digest, "sha256.new": statistics.pcm_sha256},
            (Gate("hash", 0, 0, "files"),),
            statistics.samples,
        )
    rows = changes(golden, statistics)
    drifted = [row for row in rows if not row.gate.passed]
    metrics: dict[str, Metric] = {}
    for row in rows:
        metrics |= {f"{row.name}.old": row.old, f"{row.name}.new": row.new}
    if drifted:
        summary = f"{len(drifted)} of {len(rows)} statistics drifted: {drifted[0]}"
    else:
        summary = f"all {len(rows)} statistics within the drift allowed since " + (
            golden.provenance.date
        )
    return Verdict(
        golden.key.method,
        "golden statistics",
        "golden",
        Status.FAIL if drifted else Status.PASS,
        summary,
        metrics,
        tuple(row.gate for row in rows),
        len(rows) - len(_LISTS) + sum(len(getattr(golden.statistics, name)) for name in _LISTS),
        (f"If the change is meant: `{_bless_command(golden.key)}`.",) if drifted else (),
    )


def _list_change(name: str, old: tuple[float, ...], new: tuple[float, ...], drift: Drift) -> Change:
    """The entry that moved most; lists of different lengths are infinitely apart."""
    if len(old) != len(new) or not old:
        lengths = (len(old), len(new))
        return Change(name, *lengths, math.inf, drift, "in number of windows")
    gaps = np.abs(np.subtract(new, old))
    worst = int(np.argmax(gaps))
    return Change(name, old[worst], new[worst], float(gaps[worst]), drift, _LISTS[name](worst))


def _bless_command(key: GoldenKey) -> str:
    options = "" if key.checkpoint == "tiny" else f" --checkpoint {key.checkpoint}"
    options += "" if key.precision == "fp32" else f" --precision {key.precision}"
    return f'voxtral-parity golden bless{options} --reason "…"'
