"""The plots of a sound, and the sound itself, so that a page can play it."""

from __future__ import annotations

import base64
import io
import math
import wave
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare.metrics import as_float64
from harness.compare.waveforms import to_pcm16
from harness.report.drawing import FAULT, MADE, MEANT, drawn
from harness.report.figures import Sound

__all__ = ["PLAYED_SECONDS", "difference_plot", "parts_plot", "spectrograms_plot", "wav_uri"]

Floats = NDArray[np.float64]

PLAYED_SECONDS = 30.0
"""Of a longer sound the page plays so much: a second is 64 kB of it."""

_COLUMNS = 900
"""Columns of an overlay, each with the least and the greatest of its samples."""

_WINDOW, _HOP_COLUMNS = 512, 400
"""Samples of a spectrogram's window, and its columns."""

_FLOOR_DB = -120.0

_FRAME_SECONDS, _ENVELOPE_SECONDS = 0.02, 0.1


def wav_uri(samples: Array, sample_rate: int) -> str:
    """A sound as a data URI: a mono WAV of 16 bits, as upstream's runner rounds."""
    finite = np.nan_to_num(np.asarray(samples, np.float64), nan=0.0, posinf=1.0, neginf=-1.0)
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        count = int(PLAYED_SECONDS * sample_rate)
        file.writeframes(to_pcm16(finite[:count].astype(np.float32)).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(made.getvalue()).decode()


def difference_plot(name: str, sound: Sound) -> str:
    """Both waveforms one over the other, and below it their difference with what is allowed."""
    made, meant = _sides(sound)
    seconds = np.arange(made.size) / sound.sample_rate

    def draw(figure: Any) -> None:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for values, colour, label in ((meant, MEANT, "eager"), (made, MADE, "program")):
            at, low, high = _envelope(seconds, values)
            top.fill_between(at, low, high, color=colour, alpha=0.7, linewidth=0.4, label=label)
        top.set_ylabel("full scale")
        top.legend(loc="upper right", ncols=2)
        at, low, high = _envelope(seconds, made - meant)
        below.fill_between(at, low, high, color=MADE, linewidth=0.6)
        if math.isfinite(sound.allowed):
            for sign in (-1, 1):
                below.axhline(sign * sound.allowed, color=FAULT, linewidth=1, linestyle="--")
        reach = max(np.abs(made - meant).max(initial=0.0), np.nan_to_num(sound.allowed)) or 1.0
        below.set_ylim(-1.15 * reach, 1.15 * reach)
        below.set_ylabel("program − eager")
        below.set_xlabel("seconds")

    text = f"{sound.title}: both waveforms, and their difference"
    return drawn(f"{name}-difference", text, (1000, 320), draw)


def spectrograms_plot(name: str, sound: Sound) -> str:
    """Spectrograms of the program's sound, of eager's, and of their difference, in one scale."""
    made, meant = _sides(sound)
    pictures = [("program", made), ("eager", meant), ("difference", made - meant)]
    levels = [_spectrogram(values) for _, values in pictures]
    top = float(max(levels[0].max(initial=_FLOOR_DB), levels[1].max(initial=_FLOOR_DB)))
    extent = (0, made.size / sound.sample_rate, 0, sound.sample_rate / 2000)

    def draw(figure: Any) -> None:
        row = figure.subplots(1, 3, sharey=True)
        for axes, (title, _), level in zip(row, pictures, levels, strict=True):
            shown = axes.imshow(
                level, origin="lower", aspect="auto", extent=extent, cmap="magma",
                vmin=top - 100, vmax=top,
            )  # fmt: skip
            axes.set_title(title)
            axes.set_xlabel("seconds")
            axes.grid(visible=False)
        row[0].set_ylabel("kHz")
        figure.colorbar(shown, ax=list(row), label="dB", pad=0.01)

    text = f"{sound.title}: spectrograms of the program, of eager and of the difference"
    return drawn(f"{name}-spectrograms", text, (1000, 240), draw)


def parts_plot(name: str, sound: Sound) -> str:
    """The error of each 20 ms and of each third-octave band beside the sound's, and envelopes."""
    made, meant = _sides(sound)
    rate = sound.sample_rate

    def draw(figure: Any) -> None:
        frames, bands, envelope = figure.subplots(1, 3)
        at, level = _levels(meant, rate, _FRAME_SECONDS)
        _, error = _levels(made - meant, rate, _FRAME_SECONDS)
        frames.plot(at, level, color=MEANT, linewidth=1, label="sound")
        frames.plot(at, error, color=FAULT, linewidth=1, label="error")
        frames.set_title("each 20 ms")
        frames.set_xlabel("seconds")
        frames.set_ylabel("dB of full scale")
        frames.legend(loc="best")
        centres, level = _bands(meant, rate)
        _, error = _bands(made - meant, rate)
        bands.step(centres, level, where="mid", color=MEANT, label="sound")
        bands.step(centres, error, where="mid", color=FAULT, label="error")
        bands.set_xscale("log")
        bands.set_title("each third of an octave")
        bands.set_xlabel("Hz")
        at, level = _levels(meant, rate, _ENVELOPE_SECONDS)
        envelope.plot(at, level, color=MEANT, linewidth=4, alpha=0.6, label="eager")
        envelope.plot(*_levels(made, rate, _ENVELOPE_SECONDS), color=MADE, label="program")
        envelope.set_title("envelope, each 100 ms")
        envelope.set_xlabel("seconds")
        envelope.legend(loc="best")

    text = f"{sound.title}: errors by time and by frequency, and envelopes"
    return drawn(f"{name}-parts", text, (1000, 260), draw)


def _sides(sound: Sound) -> tuple[Floats, Floats]:
    """Both waveforms, of one length, what is not finite being silence."""
    made, meant = as_float64(sound.made), as_float64(sound.meant)
    size = min(made.size, meant.size)
    return tuple(np.nan_to_num(side[:size], posinf=0.0, neginf=0.0) for side in (made, meant))  # type: ignore[return-value]


def _envelope(seconds: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Least and greatest of each column."""
    step = max(1, -(-values.size // _COLUMNS))
    starts = np.arange(0, values.size, step)
    if not starts.size:
        return values, values, values
    return seconds[starts], np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def _spectrogram(values: Floats) -> Floats:
    """Level in dB of each window and frequency, shape (frequencies, columns)."""
    padded = np.pad(values, (0, max(0, _WINDOW - values.size)))
    hop = max(_WINDOW // 4, -(-padded.size // _HOP_COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop]
    window = np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames * window)) ** 2 / float(window.sum()) ** 2 * 4
    return _decibels(power).T


def _levels(values: Floats, rate: int, seconds: float) -> tuple[Floats, Floats]:
    """Begin of each stretch, and its level in dB of full scale."""
    starts = np.arange(0, values.size, round(seconds * rate))
    if not starts.size:
        return values, values
    sums = np.add.reduceat(values * values, starts)
    return starts / rate, _decibels(sums / np.diff(starts, append=values.size))


def _bands(values: Floats, rate: int) -> tuple[Floats, Floats]:
    """Centre of each third-octave band from 100 Hz up, and its level in dB of full scale."""
    centres = 1000.0 * 2.0 ** (np.arange(-10, 14) / 3)
    centres = centres[centres * 2 ** (1 / 6) <= rate / 2]
    edges = np.append(centres / 2 ** (1 / 6), centres[-1] * 2 ** (1 / 6))
    power = 2 * np.abs(np.fft.rfft(values)) ** 2 / max(values.size, 1) ** 2
    frequencies = np.fft.rfftfreq(values.size, 1 / rate) if values.size else np.zeros(0)
    power = power[: frequencies.size]
    sums = [power[(frequencies >= a) & (frequencies < b)].sum() for a, b in pairwise(edges)]
    return centres, _decibels(np.array(sums))


def _decibels(power: Floats) -> Floats:
    made: Floats = 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))
    return made
