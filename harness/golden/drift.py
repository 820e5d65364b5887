"""Compare a run with its golden: the checkpoint first, then the codes, then the sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.compare import words
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.compare.waveforms import ENVELOPE_SECONDS, WaveformStatistics
from harness.errors import InputError
from harness.golden.store import Golden, GoldenKey, as_codes, codes_digest, read
from harness.runtime.protocol import Array

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

DRIFT: Mapping[str, Mapping[str, Drift]] = {
    "fp32": {
        "sample_rate": Drift(0, "Hz", _EXACT),
        "frames": Drift(0, "frames", _EXACT),
        "samples": Drift(0, "samples", _EXACT),
        "duration": Drift(0, "s", _EXACT),
        "clipped": Drift(0, "samples", _EXACT),
        "longest_clip_run": Drift(0, "samples", _EXACT),
        "peak": Drift(1e-4, "of old", _FP32 + "a hundred times that, 0.001 dB", relative=True),
        "rms_dbfs": Drift(1e-3, "dB", _FP32 + "a hundred times that is 0.0009 dB"),
        "dc": Drift(1e-5, "of full scale", _FP32 + "a mean moves no more than its samples"),
        "crest_db": Drift(2e-3, "dB", "peak and RMS may each move by 0.001 dB"),
        "tilt_db_per_octave": Drift(
            1e-2, "dB/octave", _FP32 + "but the faintest bins weigh as much as the loudest"
        ),
        "envelope_dbfs": Drift(
            5e-2, "dB", _FP32 + "in a window 40 dB below the peak that is 0.01 dB at most"
        ),
    },
}
"""Allowed drift by precision and statistic; a precision that was not measured has none."""


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
        if name == "envelope_dbfs":
            found.append(_envelope_change(old, new, drift))
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
        len(rows) - 1 + len(golden.statistics.envelope_dbfs),
        (f"If the change is meant: `{_bless_command(golden.key)}`.",) if drifted else (),
    )


def _envelope_change(old: tuple[float, ...], new: tuple[float, ...], drift: Drift) -> Change:
    """The window that moved most; envelopes of different lengths are infinitely apart."""
    if len(old) != len(new) or not old:
        lengths = (len(old), len(new))
        return Change("envelope_dbfs", *lengths, math.inf, drift, "in number of windows")
    gaps = np.abs(np.subtract(new, old))
    worst = int(np.argmax(gaps))
    where = f"at {worst * ENVELOPE_SECONDS:.1f} s"
    return Change("envelope_dbfs", old[worst], new[worst], float(gaps[worst]), drift, where)


def _bless_command(key: GoldenKey) -> str:
    options = "" if key.checkpoint == "tiny" else f" --checkpoint {key.checkpoint}"
    options += "" if key.precision == "fp32" else f" --precision {key.precision}"
    return f'voxtral-parity golden bless{options} --reason "…"'
