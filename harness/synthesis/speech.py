"""Text to codes to waveform on any executor, in the order of upstream's C++ runner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Checkpoint, Config
from harness.synthesis.decoding import Chunks, Stream, check_windows, decode_codes, stream_windows
from harness.synthesis.frames import Frames, Rounding
from harness.synthesis.prompt import build_prompt
from harness.synthesis.record import Runner

__all__ = ["Listener", "Speech", "speak"]

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
    runners_up
        The second best semantic code of each step, int64.
    rounding_margins
        Distance of each acoustic value from the nearest rounding tie, in levels, float32,
        shape (acoustic_dim, frames).
    """

    prompt_ids: NDArray[np.int64]
    codes: NDArray[np.int64]
    ended: bool
    waveform: Float32
    argmax_margins: Float32
    runners_up: NDArray[np.int64]
    rounding_margins: Float32

    @property
    def frames(self) -> int:
        """Frames that were made."""
        return self.codes.shape[1]


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
    checkpoint: Checkpoint,
    text: str,
    voice: str | None,
    *,
    seed: int = 42,
    temperature: float = 0.0,
    max_frames: int,
    max_seq_len: int,
    codec_frames: int,
    dtype: str = "float32",
    seed_step: bool = True,
    rounding: Rounding = "half-away",
    chunks: Chunks | None = None,
    voice_embed_len: int | None = None,
    state: str = "speech",
    listener: Listener | None = None,
) -> Speech:
    """Say `text` with the methods of `run`.

    Parameters
    ----------
    run
        Has the six methods under their names; its `state` is reset first.
    checkpoint
        Gives the tokenizer, the voice and the sizes.
    text, voice
        What to say, and in whose voice: a voice's name or the path of its file. None is
        upstream's default voice, or no voice where the checkpoint does not have that one.
    seed
        Of the flow's starting noise and of the draws.
    temperature
        Of the semantic code's softmax; 0 takes the greatest logit.
    max_frames
        Frames after which to stop without END_AUDIO.
    max_seq_len
        Positions of the KV cache; speech stops when it is full, as the runner does.
    codec_frames
        Frames that one call of the codec takes.
    dtype
        Floating-point type of the methods' inputs, ``"float32"`` or ``"bfloat16"``. Between
        the calls everything is float32.
    seed_step
        Feed one more [AUDIO] token after the prompt and take the first frame from there, as
        upstream's C++ runner and voxtral-tts.c do. vLLM-Omni and mlx-audio take it from the
        prompt's last position: False.
    rounding
        See `Rounding`.
    chunks
        Decode while the frames come, in these chunks; None decodes when all are there.
    voice_embed_len
        What `model.pte` says of the voice's rows; see `load_voice`.
    state
        Name of the KV cache to use.
    listener
        Hears of the progress.

    Raises
    ------
    InputError
        No such voice, a prompt that does not fit the KV cache, or chunks that the codec cannot
        take.
    CheckpointError
        The tokenizer, the voice and the model do not agree.

    References
    ----------
    ``examples/models/voxtral_tts/voxtral_tts_runner.cpp`` (`synthesize_offline`,
    `synthesize_streaming`).
    """
    from harness.checkpoint.voices import load_voice  # needs torch, which decoding does not

    config = checkpoint.config
    voice_rows = load_voice(checkpoint, voice, rows_hint=voice_embed_len)
    prompt = build_prompt(checkpoint, text, voice, len(voice_rows))
    frames = Frames(
        run,
        config,
        prompt,
        voice_rows,
        seed=seed,
        temperature=temperature,
        max_frames=max_frames,
        max_seq_len=max_seq_len,
        dtype=dtype,
        seed_step=seed_step,
        rounding=rounding,
        state=state,
    )
    listener = listener or Listener()
    if chunks is None:
        for _ in frames:
            listener.frame(len(frames.codes))
        listener.generated(len(frames.codes))
        waveform = decode_codes(run, config, _codes(frames, config), codec_frames, state=state)
        listener.chunk(waveform)
    else:
        most = min(max_frames, max_seq_len - prompt.shape[1] - seed_step)
        check_windows(stream_windows(most, chunks), codec_frames)
        stream = Stream(run, config, codec_frames, chunks, state=state)
        waveform = np.concatenate([np.zeros(0, np.float32), *_stream(frames, stream, listener)])
    acoustic = [np.zeros((0, config.acoustic_dim), np.float32)]
    margins = np.concatenate([*acoustic, *(row[None] for row in frames.rounding_margins)])
    return Speech(
        prompt_ids=prompt[0],
        codes=_codes(frames, config),
        ended=frames.ended,
        waveform=waveform,
        argmax_margins=np.array([choice.margin for choice in frames.choices], np.float32),
        runners_up=np.array([choice.runner_up for choice in frames.choices], np.int64),
        rounding_margins=margins.T,
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
