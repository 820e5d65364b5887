"""Sound: levels before and after the 16-bit cast, and their judgement.

Full scale is ±1 for a float signal and ±32767 for 16-bit codes, as in upstream's WAV writer.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare.metrics import as_float64
from harness.compare.tensors import Allowance, judge
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.errors import InputError

__all__ = [
    "Levels",
    "dbfs",
    "judge_waveform",
    "levels",
    "longest_run",
    "rms",
    "signal_of",
    "to_pcm16",
]

PCM16_FULL_SCALE = 32767
"""The code that upstream's `wav_writer.cpp` gives to ±1.0; −32768 is never written."""


@dataclass(frozen=True)
class Levels:
    """How loud a signal is, linear with full scale 1 and in dBFS.

    Attributes
    ----------
    clipped, longest_clip_run
        Samples at or beyond full scale, and most of them in a row.
    rms_dbfs
        Root mean square; a full-scale square wave has 0.
    dc, dc_dbfs
        Mean, and its magnitude.
    """

    peak: float
    peak_dbfs: float
    clipped: int
    longest_clip_run: int
    rms_dbfs: float
    dc: float
    dc_dbfs: float


def dbfs(amplitude: float) -> float:
    """20·log10 of a linear amplitude with full scale 1; −inf for zero."""
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def to_pcm16(x: Array) -> NDArray[np.int16]:
    """Cast a float waveform to 16-bit codes as upstream's runner does.

    Clamp to ±1, multiply by 32767 in float32, drop the fraction (towards zero).

    Raises
    ------
    InputError
        `x` holds NaN, whose cast is undefined.

    References
    ----------
    ``WavWriter::Write`` in executorch ``examples/models/voxtral_tts/wav_writer.cpp``.
    """
    samples = np.asarray(x).astype(np.float32)
    if np.isnan(samples).any():
        first = int(np.isnan(samples).argmax())
        raise InputError(f"a waveform with NaN has no 16-bit form (first at sample {first})")
    return (np.clip(samples, -1, 1) * np.float32(PCM16_FULL_SCALE)).astype(np.int16)


def levels(x: Array) -> Levels:
    """Levels of a mono waveform of any shape; `x` and errors as of `signal_of`."""
    signal = signal_of(x)
    magnitude = np.abs(signal)
    clipped = magnitude >= 1.0
    peak, dc = float(magnitude.max()), float(signal.mean())
    return Levels(
        peak=peak,
        peak_dbfs=dbfs(peak),
        clipped=int(clipped.sum()),
        longest_clip_run=longest_run(clipped),
        rms_dbfs=dbfs(rms(signal)),
        dc=dc,
        dc_dbfs=dbfs(abs(dc)),
    )


def judge_waveform(
    subject: str,
    case: str,
    candidate: Array,
    reference: Array,
    allowance: Allowance,
    sample_rate: int,
    pcm_lsb: int = 1,
) -> Verdict:
    """Judge a waveform as a tensor, and besides as what a listener's WAV would hold.

    Parameters
    ----------
    subject, case, candidate, reference, allowance
        As in `tensors.judge`.
    sample_rate
        In Hz, for the verdict's metrics.
    pcm_lsb
        How many steps two 16-bit codes may differ. One by default: truncation turns the least
        difference into one step where it crosses an integer, and a right fp32 export (1e-6 of
        scale, a thirtieth of a step) can do no more.

    Returns
    -------
    Verdict
        `judge`'s, with gates on the number of samples and the codes, and
        the `Levels` of both sides before (``float``) and after (``pcm16``) the cast among the
        metrics as ``candidate.float.peak_dbfs`` and so on.
    """
    verdict = judge(subject, case, candidate, reference, allowance)
    sides = {"candidate": np.asarray(candidate), "reference": np.asarray(reference)}
    metrics: dict[str, Metric] = {**verdict.metrics, "sample_rate": sample_rate}
    differ = abs(sides["candidate"].size - sides["reference"].size)
    gates = [*verdict.gates, Gate("samples", differ, 0, "samples")]
    codes = []
    for name, x in sides.items():
        if not x.size or not np.isfinite(as_float64(x)).all():
            continue
        codes.append(to_pcm16(x).ravel())
        told = {"float": levels(x), "pcm16": levels(codes[-1])}
        for form, level in told.items():
            fields = dataclasses.asdict(level)
            metrics |= {f"{name}.{form}.{key}": value for key, value in fields.items()}
    if len(codes) == 2 and not differ:
        steps = int(np.abs(codes[0].astype(np.int32) - codes[1]).max())
        gates.append(Gate("16-bit codes", steps, pcm_lsb, "LSB"))
    missed = [gate for gate in gates if not gate.passed]
    status, summary = verdict.status, verdict.summary
    if missed and status is Status.PASS:
        status = Status.FAIL
        summary += "".join(
            f"; {gate.name} differ by {gate.value:g}, up to {gate.allowed:g} allowed"
            for gate in missed
        )
    return dataclasses.replace(verdict, kind="waveform", status=status, summary=summary,
                               metrics=metrics, gates=tuple(gates))  # fmt: skip


def signal_of(x: Array) -> NDArray[np.float64]:
    """A waveform flat in float64 with full scale 1: of floats (±1), or of int16 codes.

    Raises
    ------
    InputError
        `x` is empty, of another type, or holds NaN or infinities.
    """
    x = np.asarray(x)
    signal = as_float64(x)
    if x.dtype.kind in "iu":
        if x.dtype != np.int16:
            raise InputError(f"a waveform is float or int16 (got {x.dtype})")
        signal = signal / PCM16_FULL_SCALE
    if not signal.size:
        raise InputError("a waveform without samples has no levels")
    broken = ~np.isfinite(signal)
    if broken.any():
        first = int(broken.argmax())
        raise InputError(f"a waveform must be finite (sample {first} is {signal[first]})")
    return signal


def rms(signal: NDArray[np.float64]) -> float:
    """Root mean square."""
    return math.sqrt(float(signal @ signal) / signal.size)


def longest_run(flags: NDArray[np.bool_]) -> int:
    """Most trues in a row."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return int((edges[1::2] - edges[::2]).max(initial=0))
