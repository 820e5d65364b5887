"""Codes to waveform: the codec's windows, of a whole speech or as it grows.

The codec is causal and looks back a known number of frames (`lookback`), so two decodings of
the same codes agree on every sample that has that much context in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Config
from harness.errors import InputError
from harness.synthesis.record import Runner, call_for_one

__all__ = [
    "RUNNER_CHUNKS",
    "Chunks",
    "Stream",
    "Window",
    "check_windows",
    "codec_lookback",
    "decode_codes",
    "decode_streaming",
    "frames_short_of_context",
    "stream_windows",
]

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Chunks:
    """When a stream decodes: after `initial` frames, then after every `following`.

    Each window of the codec begins `left_context` frames before the first new one; what they
    sound like is dropped.
    """

    initial: int = 5
    following: int = 25
    left_context: int = 25


RUNNER_CHUNKS = Chunks()
"""Upstream's own, which its exporter writes into `model.pte` and its runner reads there."""


@dataclass(frozen=True)
class Window:
    """Frames ``[start, end)`` go into the codec; what comes of ``[start, new)`` is dropped."""

    start: int
    new: int
    end: int


def stream_windows(frames: int, chunks: Chunks = RUNNER_CHUNKS) -> list[Window]:
    """The windows of a stream of `frames` frames, in order."""
    ends = [*range(chunks.initial, frames, chunks.following), frames] if frames else []
    starts = [0, *ends[:-1]]
    return [Window(max(0, new - chunks.left_context), new, end)
            for new, end in zip(starts, ends, strict=False)]  # fmt: skip


class Stream:
    """Decodes codes as they come, by the method ``codec`` of `run`, called with `state`.

    `codec_frames` are the frames that one call of the codec takes.
    """

    def __init__(
        self,
        run: Runner,
        config: Config,
        codec_frames: int,
        chunks: Chunks = RUNNER_CHUNKS,
        *,
        state: str = "speech",
    ) -> None:
        self._codec, self._chunks = (run, config, codec_frames, state), chunks
        self._codes: list[NDArray[np.int64]] = []
        self._done = 0

    def add(self, codes: NDArray[np.int64]) -> Float32 | None:
        """Take one frame, shape (n_codebooks,); the samples of a chunk that is now whole.

        Raises
        ------
        InputError
            The chunk with its context is longer than the codec takes.
        """
        self._codes.append(codes)
        wanted = self._chunks.following if self._done else self._chunks.initial
        return self._decode() if len(self._codes) - self._done >= wanted else None

    def finish(self) -> Float32 | None:
        """The samples of the frames that made no whole chunk, if there are any."""
        return self._decode() if self._done < len(self._codes) else None

    def _decode(self) -> Float32:
        window = Window(
            max(0, self._done - self._chunks.left_context), self._done, len(self._codes)
        )
        _, config, codec_frames, _ = self._codec
        check_windows([window], codec_frames)
        self._done = window.end
        codes = np.array(self._codes[window.start : window.end], np.int64).T
        samples = _decode_window(codes, *self._codec)
        return samples[(window.new - window.start) * config.downsample_factor :]


def check_windows(windows: Sequence[Window], codec_frames: int) -> None:
    """Refuse windows that are longer than the codec takes, as the runner does: `InputError`."""
    longest = max((window.end - window.start for window in windows), default=0)
    if longest > codec_frames:
        raise InputError(
            f"streaming decodes windows of up to {longest} frames, new ones and their left "
            f"context, and one call of the codec takes {codec_frames}: export with "
            f"max_codec_frames {longest} or more, speak fewer frames, or do not stream"
        )


def decode_codes(
    run: Runner,
    config: Config,
    codes: NDArray[np.int64],
    codec_frames: int,
    *,
    state: str = "speech",
) -> Float32:
    """Waveform of `codes`, shape (n_codebooks, frames), as the runner's offline mode makes it.

    The codec takes `codec_frames` frames a call: longer speech is cut into windows without
    context, and the last window is padded with its last frame, not with zeros.
    """
    pieces = [np.zeros(0, np.float32)]
    for start in range(0, codes.shape[1], codec_frames):
        window = codes[:, start : start + codec_frames]
        pieces.append(_decode_window(window, run, config, codec_frames, state))
    return np.concatenate(pieces)


def decode_streaming(
    run: Runner,
    config: Config,
    codes: NDArray[np.int64],
    codec_frames: int,
    chunks: Chunks = RUNNER_CHUNKS,
    *,
    state: str = "speech",
) -> Float32:
    """Waveform of `codes`, shape (n_codebooks, frames), as a stream of them would have made it."""
    stream = Stream(run, config, codec_frames, chunks, state=state)
    pieces = [stream.add(frame) for frame in codes.T]
    pieces.append(stream.finish())
    found = [piece for piece in pieces if piece is not None]
    return np.concatenate([np.zeros(0, np.float32), *found])


def codec_lookback(config: Config) -> int:
    """How many frames before its own a sample can depend on, rounded up.

    Each convolution and each layer of windowed attention adds its reach at its own rate; an
    attention window of w steps reaches w steps back.
    """
    codec = config.codec
    window = codec.window
    if codec.halve_window:
        window //= 2 ** sum(stride > 1 for stride in codec.strides)
    rate, reach = 1, 0.0
    for stage, (layers, kernel, stride) in enumerate(
        zip(codec.lengths, codec.kernels, codec.strides, strict=True)
    ):
        # The first convolution is a plain one; the others are transposed.
        reach += (kernel - 1 if stage == 0 else math.ceil(kernel / stride) - 1) / rate
        rate *= stride
        window *= 2 if codec.halve_window and stride > 1 else 1
        reach += layers * window / rate
    return math.ceil(reach + (codec.patch_kernel - 1) / rate)


def frames_short_of_context(
    frames: int, codec_frames: int, chunks: Chunks, lookback: int
) -> list[int]:
    """Frames to which offline windows or a stream's give less context than the codec looks back."""
    short = set()
    for start in range(codec_frames, frames, codec_frames):  # offline windows have none
        short |= set(range(start, min(frames, start + lookback)))
    for window in stream_windows(frames, chunks):
        if window.start:
            short |= set(range(window.new, min(window.end, window.start + lookback)))
    return sorted(short)


def _decode_window(
    codes: NDArray[np.int64], run: Runner, config: Config, codec_frames: int, state: str
) -> Float32:
    """Samples of up to `codec_frames` frames; the rest of the window repeats the last one."""
    frames = codes.shape[1]
    padded = np.pad(codes, ((0, 0), (0, codec_frames - frames)), mode="edge")
    waveform = call_for_one(run, "codec", [padded[None]], state)
    return waveform.reshape(-1)[: frames * config.downsample_factor].astype(np.float32)
