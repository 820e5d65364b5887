"""What came of a speech, and how long it took in the figures that upstream's runner reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.synthesis.speech import Float32, Listener

__all__ = ["SpeechResult", "Stopwatch", "Timing"]


@dataclass(frozen=True)
class Timing:
    """Figures of one speech.

    Attributes
    ----------
    frames, ended
        Frames that were made, and whether END_AUDIO came.
    audio_seconds
        Length of the sound.
    generate_ms
        Until all frames were made; streaming, until all of them were decoded too, as upstream
        counts.
    first_audio_ms
        Until the first samples could be played; offline, all of them.
    wall_ms
        Of the whole process, which loads first; None where it was not timed.
    warm_up_ms
        What the first calls of four of the five methods of `model.pte` took upstream's runner,
        which loads each method at its first call. It loads all five again when it speaks, so that
        `generate_ms` and `first_audio_ms` hold a second load. None for who loads once, or where
        it was not seen.
    """

    frames: int
    ended: bool
    audio_seconds: float
    generate_ms: float
    first_audio_ms: float
    wall_ms: float | None = None
    warm_up_ms: float | None = None

    @property
    def rtf(self) -> float:
        """Seconds of generating for each second of sound; infinite without sound."""
        seconds = self.generate_ms / 1000
        return seconds / self.audio_seconds if self.audio_seconds else float("inf")


@dataclass(frozen=True)
class SpeechResult:
    """What came of an utterance, whoever spoke.

    Attributes
    ----------
    pcm
        Codes of the WAV, int16, shape (samples,).
    sampling_rate
        In Hz.
    codes
        int64, shape (n_codebooks, frames); None where the speaker tells none.
    timing
        How long it took, and whether END_AUDIO came.
    """

    pcm: NDArray[np.int16]
    sampling_rate: int
    codes: NDArray[np.int64] | None
    timing: Timing


class Stopwatch(Listener):
    """Takes the times; starts when it is made.

    `progress` is called with a line now and then, `play` with samples as soon as they are there.
    """

    def __init__(
        self,
        sampling_rate: int,
        progress: Callable[[str], None] = lambda text: None,
        play: Callable[[Float32], None] = lambda samples: None,
    ) -> None:
        self._rate, self._progress, self._play = sampling_rate, progress, play
        self._started = time.perf_counter()
        self._first: float | None = None
        self._generated = self._started
        self._samples = self._frames = 0

    def frame(self, made: int) -> None:
        """Say how far it is, every second or so of sound."""
        if made == 1 or made % 12 == 0:
            self._progress(f"frame {made}")

    def generated(self, frames: int) -> None:
        """Take the time."""
        self._generated = time.perf_counter()
        self._frames = frames

    def chunk(self, samples: Float32) -> None:
        """Take the time of the first, and pass it on."""
        if self._first is None:
            self._first = time.perf_counter()
        self._samples += len(samples)
        self._play(samples)

    def stop(self, *, ended: bool, streaming: bool) -> Timing:
        """The figures, now that speech is over; `ended`: whether END_AUDIO came."""
        now = time.perf_counter()
        generated = now if streaming else self._generated
        return Timing(
            frames=self._frames,
            ended=ended,
            audio_seconds=self._samples / self._rate,
            generate_ms=(generated - self._started) * 1e3,
            first_audio_ms=((self._first or now) - self._started) * 1e3,
        )
