"""What a golden keeps of a sound: the float signal first, then the WAV that a listener gets."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare.waveforms import dbfs, levels, longest_run, rms, signal_of, to_pcm16

__all__ = ["BAND_EDGES_HZ", "ENVELOPE_SECONDS", "WaveformStatistics", "statistics"]

ENVELOPE_FLOOR_DBFS = -100.0
"""Least level told: ten dB below one 16-bit step (−90.3), which no WAV can show."""

ENVELOPE_SECONDS = 0.1

EDGE_SECONDS = 0.02
"""How much of the beginning and of the end counts: a codec that is cut off there clicks."""

SILENCE_DBFS = -60.0
"""Below this nobody hears anything in a room."""

BAND_EDGES_HZ = (0, 125, 250, 500, 1000, 2000, 4000, 8000, 12000)
"""Octaves of speech, and what is below them."""

_WELCH_SEGMENT = 1024  # 23 Hz a bin at 24 kHz: three bins below the 100 Hz where the fit begins
_TILT_BAND_HZ = (100.0, 10_000.0)
_PSD_FLOOR = 1e-20  # −200 dB of full scale²/Hz, below float32's own noise: keeps silence finite


@dataclass(frozen=True)
class WaveformStatistics:
    """What a golden keeps of a waveform.

    Attributes
    ----------
    sample_rate, frames, samples, duration
        In Hz; codec frames that made it; length in samples and in seconds.
    nonfinite
        Samples of the float signal that are NaN or infinite; below they count as silence.
    float_peak, would_clip
        Of the float signal, its greatest magnitude and how many samples are at or beyond full
        scale. Everything below is of the 16-bit file.
    peak, clipped, longest_clip_run, rms_dbfs, dc
        As in `Levels`.
    crest_db
        Peak over RMS in dB; NaN for silence.
    leading_dbfs, trailing_dbfs, envelope_dbfs
        RMS in dBFS of the first and of the last 20 ms, and of each 100 ms (the last may be
        shorter).
    longest_gap
        Longest stretch below −60 dBFS, in seconds.
    tilt_db_per_octave, seam_step_db
        See `spectral_tilt`, `seam_step`.
    band_dbfs
        Power in each of the bands of `BAND_EDGES_HZ`, in dB of full scale.
    pcm_sha256
        Of the 16-bit codes, little-endian.
    """

    sample_rate: int
    frames: int
    samples: int
    duration: float
    nonfinite: int
    float_peak: float
    would_clip: int
    peak: float
    clipped: int
    longest_clip_run: int
    rms_dbfs: float
    dc: float
    crest_db: float
    leading_dbfs: float
    trailing_dbfs: float
    longest_gap: float
    tilt_db_per_octave: float
    seam_step_db: float
    band_dbfs: tuple[float, ...]
    envelope_dbfs: tuple[float, ...]
    pcm_sha256: str


def statistics(x: Array, sample_rate: int, frames: int) -> WaveformStatistics:
    """Statistics of a mono waveform `x` of any shape, made from `frames` codec frames.

    Parameters
    ----------
    x
        Float with full scale ±1, or the int16 codes of a WAV file.

    Raises
    ------
    InputError
        `x` is empty, or neither float nor int16.
    """
    x = np.asarray(x).reshape(-1)
    broken = np.zeros(x.shape, bool) if x.dtype.kind in "iu" else ~np.isfinite(x.astype(np.float64))
    x = np.where(broken, 0, x).astype(x.dtype)
    heard = levels(x)
    pcm = x if x.dtype == np.int16 else to_pcm16(x)
    signal, level = signal_of(pcm), levels(pcm)
    frequency, density = spectrum(signal, sample_rate)
    window, edge = round(ENVELOPE_SECONDS * sample_rate), round(EDGE_SECONDS * sample_rate)
    starts = range(0, signal.size, window)
    same = ("peak", "clipped", "longest_clip_run", "rms_dbfs", "dc")
    return WaveformStatistics(
        sample_rate=sample_rate,
        frames=frames,
        samples=signal.size,
        duration=signal.size / sample_rate,
        nonfinite=int(broken.sum()),
        float_peak=heard.peak,
        would_clip=heard.clipped,
        crest_db=level.peak_dbfs - level.rms_dbfs if level.peak else math.nan,
        leading_dbfs=_level(signal[:edge]),
        trailing_dbfs=_level(signal[-edge:]),
        longest_gap=longest_gap(signal, sample_rate),
        tilt_db_per_octave=spectral_tilt(frequency, density),
        seam_step_db=seam_step(signal, frames),
        band_dbfs=_bands(frequency, density, sample_rate / min(_WELCH_SEGMENT, signal.size)),
        envelope_dbfs=tuple(_level(signal[start : start + window]) for start in starts),
        pcm_sha256=hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest(),
        **{name: getattr(level, name) for name in same},
    )


def longest_gap(x: Array, sample_rate: int) -> float:
    """Longest stretch below −60 dBFS, in seconds."""
    quiet = np.abs(signal_of(x)) < 10 ** (SILENCE_DBFS / 20)
    return longest_run(quiet) / sample_rate


def seam_step(x: Array, frames: int) -> float:
    """Greatest step from one sample to the next where two frames meet, over the RMS step, in dB.

    Windows and chunks of the codec meet there: a click stands out from what the sound does
    elsewhere. 0 where there is no seam, and for silence.
    """
    signal = signal_of(x)
    steps = np.diff(signal)
    if frames < 2 or signal.size % frames or not steps.any():
        return 0.0
    length = signal.size // frames
    greatest = float(np.abs(steps[length - 1 :: length]).max())
    return 20 * math.log10(max(greatest, 1e-10) / rms(steps))


def spectrum(x: Array, sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz and Welch's one-sided power spectral density, full scale² per Hz.

    Hann windows of 1024 samples (fewer if the signal is shorter), half overlapping, each without
    its mean (P. Welch, IEEE Trans. Audio Electroacoust. 15 (1967) 70). Equals
    ``scipy.signal.welch``, whose import takes as much CPU as all the rest of a warm run.
    """
    signal = signal_of(x)
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


def spectral_tilt(frequency: NDArray[np.float64], density: NDArray[np.float64]) -> float:
    """Slope in dB per octave of a straight line through a `spectrum`, 100 Hz to 10 kHz.

    The line is the least-squares fit of the density in dB on log2 of frequency, every bin
    counting alike. White noise has 0, and a low-pass pulls it down where cosine and correlation
    see nothing. NaN if the signal was too short to have two bins in the band.
    """
    band = (frequency >= _TILT_BAND_HZ[0]) & (frequency <= _TILT_BAND_HZ[1])
    if band.sum() < 2:
        return math.nan
    octaves = np.log2(frequency[band])
    decibels = 10.0 * np.log10(np.maximum(density[band], _PSD_FLOOR))
    octaves, decibels = octaves - octaves.mean(), decibels - decibels.mean()
    return float(octaves @ decibels / (octaves @ octaves))


def _bands(
    frequency: NDArray[np.float64], density: NDArray[np.float64], width: float
) -> tuple[float, ...]:
    found = []
    for low, high in pairwise(BAND_EDGES_HZ):
        power = float(density[(frequency >= low) & (frequency < high)].sum()) * width
        found.append(max(ENVELOPE_FLOOR_DBFS, 10 * math.log10(power) if power > 0 else -math.inf))
    return tuple(found)


def _level(signal: NDArray[np.float64]) -> float:
    return max(ENVELOPE_FLOOR_DBFS, dbfs(rms(signal)))
