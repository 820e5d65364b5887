"""Sound: levels before and after the 16-bit cast, statistics, and their judgement.

Full scale is ±1 for a float signal and ±32767 for 16-bit codes, as in upstream's WAV writer.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.compare.metrics import as_float64
from harness.compare.tensors import Allowance, judge
from harness.compare.verdict import Gate, Metric, Status, Verdict
from harness.errors import InputError
from harness.runtime.protocol import Array

__all__ = [
    "ENVELOPE_FLOOR_DBFS",
    "Levels",
    "WaveformStatistics",
    "dbfs",
    "judge_waveform",
    "levels",
    "spectral_tilt",
    "statistics",
    "to_pcm16",
]

PCM16_FULL_SCALE = 32767
"""The code that upstream's `wav_writer.cpp` gives to ±1.0; −32768 is never written."""

ENVELOPE_FLOOR_DBFS = -100.0
"""Least value in an envelope: ten dB below one 16-bit step (−90.3), which no WAV can show."""

ENVELOPE_SECONDS = 0.1

_WELCH_SEGMENT = 1024  # 23 Hz a bin at 24 kHz: three bins below the 100 Hz where the fit begins
_TILT_BAND_HZ = (100.0, 10_000.0)
_PSD_FLOOR = 1e-20  # −200 dB of full scale²/Hz, below float32's own noise: keeps silence finite


@dataclass(frozen=True)
class Levels:
    """How loud a signal is.

    Attributes
    ----------
    peak, peak_dbfs
        Greatest magnitude, linear (full scale 1) and in dBFS.
    clipped
        Samples at or beyond full scale.
    longest_clip_run
        Most such samples in a row.
    rms_dbfs
        Root mean square in dBFS; a full-scale square wave has 0.
    dc, dc_dbfs
        Mean, linear and its magnitude in dBFS.
    """

    peak: float
    peak_dbfs: float
    clipped: int
    longest_clip_run: int
    rms_dbfs: float
    dc: float
    dc_dbfs: float


@dataclass(frozen=True)
class WaveformStatistics:
    """What a golden keeps of a waveform.

    Attributes
    ----------
    sample_rate
        In Hz.
    frames
        Codec frames that made it.
    samples, duration
        Length in samples and in seconds.
    peak, clipped, longest_clip_run, rms_dbfs, dc
        As in `Levels`, of the float signal.
    crest_db
        Peak over RMS in dB; NaN for silence.
    tilt_db_per_octave
        See `spectral_tilt`.
    envelope_dbfs
        RMS of each 100 ms (the last may be shorter) in dBFS, not below `ENVELOPE_FLOOR_DBFS`.
    """

    sample_rate: int
    frames: int
    samples: int
    duration: float
    peak: float
    clipped: int
    longest_clip_run: int
    rms_dbfs: float
    dc: float
    crest_db: float
    tilt_db_per_octave: float
    envelope_dbfs: tuple[float, ...]


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
    """Levels of a mono waveform of any shape: float with full scale ±1, or int16 codes.

    Raises
    ------
    InputError
        `x` is empty or holds NaN or infinities.
    """
    signal = _signal(x)
    magnitude = np.abs(signal)
    clipped = magnitude >= 1.0
    peak, dc = float(magnitude.max()), float(signal.mean())
    return Levels(
        peak=peak,
        peak_dbfs=dbfs(peak),
        clipped=int(clipped.sum()),
        longest_clip_run=_longest_run(clipped),
        rms_dbfs=dbfs(_rms(signal)),
        dc=dc,
        dc_dbfs=dbfs(abs(dc)),
    )


def statistics(x: Array, sample_rate: int, frames: int) -> WaveformStatistics:
    """Statistics of a mono waveform `x` of any shape, made from `frames` codec frames.

    Raises
    ------
    InputError
        `x` is empty or holds NaN or infinities.
    """
    signal = _signal(x)
    level = levels(x)
    window = round(ENVELOPE_SECONDS * sample_rate)
    starts = range(0, signal.size, window)
    envelope = (dbfs(_rms(signal[start : start + window])) for start in starts)
    return WaveformStatistics(
        sample_rate=sample_rate,
        frames=frames,
        samples=signal.size,
        duration=signal.size / sample_rate,
        peak=level.peak,
        clipped=level.clipped,
        longest_clip_run=level.longest_clip_run,
        rms_dbfs=level.rms_dbfs,
        dc=level.dc,
        crest_db=level.peak_dbfs - level.rms_dbfs if level.peak else math.nan,
        tilt_db_per_octave=spectral_tilt(signal, sample_rate),
        envelope_dbfs=tuple(max(ENVELOPE_FLOOR_DBFS, value) for value in envelope),
    )


def spectral_tilt(x: Array, sample_rate: int) -> float:
    """Slope in dB per octave of a straight line through the spectrum, 100 Hz to 10 kHz.

    The line is the least-squares fit of the power spectral density in dB on log2 of frequency,
    every bin counting alike. The density is Welch's: Hann windows of 1024 samples (fewer if the
    signal is shorter), half overlapping, each without its mean. White noise has 0, and a
    low-pass pulls it down where cosine and correlation see nothing. NaN if the signal is too
    short to have two bins in the band.

    References
    ----------
    P. Welch, IEEE Trans. Audio Electroacoust. 15 (1967) 70; equals ``scipy.signal.welch``,
    which is not used because importing it takes a second.
    """
    frequency, density = _welch(_signal(x), sample_rate)
    band = (frequency >= _TILT_BAND_HZ[0]) & (frequency <= _TILT_BAND_HZ[1])
    if band.sum() < 2:
        return math.nan
    octaves = np.log2(frequency[band])
    decibels = 10.0 * np.log10(np.maximum(density[band], _PSD_FLOOR))
    octaves, decibels = octaves - octaves.mean(), decibels - decibels.mean()
    return float(octaves @ decibels / (octaves @ octaves))


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
        `judge`'s, with gates on the number of samples, the clipped samples and the codes, and
        the `Levels` of both sides before (``float``) and after (``pcm16``) the cast among the
        metrics as ``candidate.float.peak_dbfs`` and so on.
    """
    verdict = judge(subject, case, candidate, reference, allowance)
    candidate, reference = np.asarray(candidate), np.asarray(reference)
    metrics: dict[str, Metric] = {**verdict.metrics, "sample_rate": sample_rate}
    gates = [
        *verdict.gates,
        Gate("samples", abs(candidate.size - reference.size), 0, "samples"),
    ]
    sides = {"candidate": candidate, "reference": reference}
    sound = {name: x for name, x in sides.items() if x.size and np.isfinite(as_float64(x)).all()}
    found: dict[str, Levels] = {}
    for name, x in sound.items():
        found[f"{name}.float"], found[f"{name}.pcm16"] = levels(x), levels(to_pcm16(x))
    for name, level in found.items():
        metrics |= {f"{name}.{key}": value for key, value in dataclasses.asdict(level).items()}
    if len(sound) == 2:
        clips = found["candidate.float"].clipped - found["reference.float"].clipped
        gates.append(Gate("clipped samples", abs(clips), 0, "samples"))
    if len(sound) == 2 and candidate.size == reference.size:
        codes = (to_pcm16(x).astype(np.int32).ravel() for x in (candidate, reference))
        steps = int(np.abs(np.subtract(*codes)).max())
        gates.append(Gate("16-bit codes", steps, pcm_lsb, "LSB"))
    missed = [gate for gate in gates if not gate.passed]
    status, summary = verdict.status, verdict.summary
    if missed and status is Status.PASS:
        status = Status.FAIL
        summary += "".join(
            f"; {gate.name} differ by {gate.value:g}, up to {gate.allowed:g} allowed"
            for gate in missed
        )
    return dataclasses.replace(
        verdict,
        kind="waveform",
        status=status,
        summary=summary,
        metrics=metrics,
        gates=tuple(gates),
    )


def _signal(x: Array) -> NDArray[np.float64]:
    """`x` flat in float64 with full scale 1, checked."""
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


def _rms(signal: NDArray[np.float64]) -> float:
    return math.sqrt(float(signal @ signal) / signal.size)


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _welch(
    signal: NDArray[np.float64], sample_rate: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz and the one-sided power spectral density, full scale² per Hz."""
    length = min(_WELCH_SEGMENT, signal.size)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    step = length - length // 2
    segments = np.lib.stride_tricks.sliding_window_view(signal, length)[::step]
    segments = (segments - segments.mean(axis=1, keepdims=True)) * window
    power = (np.abs(np.fft.rfft(segments)) ** 2).mean(axis=0)
    # A window of one sample is zero: any divisor will do, since no bin is in the band.
    density = power / (sample_rate * (float(window @ window) or 1.0))
    # One-sided: each bin stands for two, but for 0 Hz and (even lengths) half the sample rate.
    density[1 : -1 if length % 2 == 0 else None] *= 2
    return np.arange(density.size) * (sample_rate / length), density.astype(np.float64)
