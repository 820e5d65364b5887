"""Text to codes to waveform on any executor, in the order of upstream's C++ runner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Config
from harness.synthesis.decoding import (
    RUNNER_CHUNKS,
    Chunks,
    Stream,
    check_windows,
    decode_codes,
    stream_windows,
)
from harness.synthesis.frames import N_SPECIAL_CODES, Decoder, Forced, Frames
from harness.synthesis.record import Runner
from harness.synthesis.utterance import Limits, Prompt, Utterance

__all__ = ["Followed", "Listener", "Speech", "follow", "speak"]

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """What was said, and how near each decision was to another.

    Attributes
    ----------
    prompt_ids
        int64, shape (S,).
    codes
        int64, shape (n_codebooks, frames), with the special-code offset.
    ended
        Whether END_AUDIO came before the frame limit.
    waveform
        float32, full scale ±1, shape (frames * downsample_factor,).
    argmax_margins
        Best semantic logit minus the second best, float32, one a step, that of END included;
        of a draw at a temperature, the distance of its uniform number from the next code's.
    rounding_margins
        Distance of each acoustic value from the nearest rounding tie, in levels, float32,
        shape (acoustic_dim, frames).
    """

    prompt_ids: NDArray[np.int64]
    codes: NDArray[np.int64]
    ended: bool
    waveform: Float32
    argmax_margins: Float32
    rounding_margins: Float32

    @property
    def frames(self) -> int:
        """Frames that were made."""
        return self.codes.shape[1]


@dataclass(frozen=True)
class Followed:
    """How a model would have decided along given codes.

    Attributes
    ----------
    codes, ended
        What was followed: int64, shape (n_codebooks, frames), and whether END_AUDIO came.
    followed
        Frames that the model could follow: fewer where its KV cache is full before.
    behind
        For each semantic code, that of END included, how far its logit lies behind the model's
        best, float32; 0 where the model chooses the same.
    beyond
        For each acoustic code, how far the model's value lies beyond the bounds that round to it,
        in levels, float32, shape (acoustic_dim, frames); 0 where the model chooses the same.
    waveform
        What the model's codec makes of the codes, float32, shape (frames * downsample_factor,).
    levels, margins
        What decided: the model's acoustic values in levels, as `beyond`, and its best semantic
        logit minus the second best, as `behind`.
    """

    codes: NDArray[np.int64]
    ended: bool
    followed: int
    behind: Float32
    beyond: Float32
    waveform: Float32
    levels: Float32
    margins: Float32


class Listener:
    """Hears of a speech while it is made; overrides what it wants to know."""

    def frame(self, made: int) -> None:
        """Another frame of codes is there."""

    def generated(self, frames: int) -> None:
        """All frames are there; offline, nothing is decoded so far."""

    def chunk(self, samples: Float32) -> None:
        """Samples that can be played: of a streamed chunk, or offline all of them."""


def speak(
    run: Runner,
    config: Config,
    prompt: Prompt,
    utterance: Utterance,
    limits: Limits,
    *,
    chunks: Chunks = RUNNER_CHUNKS,
    state: str = "speech",
    listener: Listener | None = None,
) -> Speech:
    """Say something with the methods of `run`.

    Parameters
    ----------
    run, state
        Has the six methods under their names; the name of the KV cache to use, reset first.
    config, limits
        The model's sizes, and what its files take.
    prompt, utterance, chunks
        What to say, and how to decode while frames come if the utterance is streamed.
    listener
        Hears of the progress.

    Raises
    ------
    InputError
        A prompt that does not fit the KV cache, or chunks that the codec cannot take.

    References
    ----------
    ``examples/models/voxtral_tts/voxtral_tts_runner.cpp`` (`synthesize_offline`,
    `synthesize_streaming`).
    """
    frames = Frames(Decoder(run, limits, state), config, prompt, utterance)
    listener = listener or Listener()
    if not utterance.streaming:
        for _ in frames:
            listener.frame(len(frames.codes))
        listener.generated(len(frames.codes))
        codes = _codes(frames, config)
        waveform = decode_codes(run, config, codes, limits.codec_frames, state=state)
        listener.chunk(waveform)
    else:
        room = limits.max_seq_len - prompt.ids.shape[1] - utterance.seed_step
        windows = stream_windows(min(utterance.max_new_tokens, room), chunks)
        check_windows(windows, limits.codec_frames)
        stream = Stream(run, config, limits.codec_frames, chunks, state=state)
        waveform = np.concatenate([np.zeros(0, np.float32), *_stream(frames, stream, listener)])
    levels = _levels(frames, config)
    return Speech(
        prompt_ids=prompt.ids[0],
        codes=_codes(frames, config),
        ended=frames.ended,
        waveform=waveform,
        argmax_margins=np.array([choice.margin for choice in frames.choices], np.float32),
        rounding_margins=np.abs(levels - np.floor(levels) - np.float32(0.5)),
    )


def follow(
    run: Runner,
    config: Config,
    prompt: Prompt,
    utterance: Utterance,
    limits: Limits,
    forced: Forced,
    *,
    state: str = "follow",
) -> Followed:
    """What the methods of `run` decide along codes that somebody else chose (teacher forcing).

    Every choice is made on the inputs that the other had, so that one that differs cannot
    cascade, and all of them can be compared. `forced` are the codes, and whether END_AUDIO came
    after them; the rest is as in `speak`.
    """
    frames = Frames(Decoder(run, limits, state), config, prompt, utterance, forced)
    for _ in frames:
        pass
    codes = _codes(frames, config)
    levels = _levels(frames, config)
    distance = np.abs(levels - (codes[1:] - N_SPECIAL_CODES))
    return Followed(
        codes=forced[0],
        ended=forced[1],
        followed=len(frames.codes),
        behind=np.array(frames.behind, np.float32),
        beyond=np.maximum(distance - np.float32(0.5), 0).astype(np.float32),
        waveform=decode_codes(run, config, codes, limits.codec_frames, state=state),
        levels=levels,
        margins=np.array([choice.margin for choice in frames.choices], np.float32),
    )


def _stream(frames: Frames, stream: Stream, listener: Listener) -> Iterator[Float32]:
    for codes in frames:
        samples = stream.add(codes)
        if samples is not None:
            listener.chunk(samples)
            yield samples
        listener.frame(len(frames.codes))
    listener.generated(len(frames.codes))
    samples = stream.finish()
    if samples is not None:
        listener.chunk(samples)
        yield samples


def _codes(frames: Frames, config: Config) -> NDArray[np.int64]:
    return np.array(frames.codes, np.int64).reshape(-1, config.n_codebooks).T


def _levels(frames: Frames, config: Config) -> Float32:
    """Shape (acoustic_dim, frames)."""
    return np.array(frames.levels, np.float32).reshape(-1, config.acoustic_dim).T
