"""Text to codes to waveform on any executor, in the order of upstream's C++ runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Checkpoint, Config
from harness.errors import InputError
from harness.runtime.protocol import Array, as_array
from harness.synthesis.noise import FlowNoise
from harness.synthesis.prompt import build_prompt
from harness.synthesis.record import Runner

__all__ = ["Rounding", "Speech", "decode_codes", "round_codes", "speak"]

Float32 = NDArray[np.float32]

END_AUDIO = 1
"""The semantic code that ends speech; 0 is EMPTY."""

N_SPECIAL_CODES = 2
"""Offset of every code, below which are EMPTY and END."""

CFG_ALPHA = np.float32(1.2)
"""Weight of classifier-free guidance, the same in every public implementation."""

Rounding = Literal["half-away", "half-even"]
"""Ties of acoustic codes: away from zero (upstream's C++ runner) or to even (torch, mlx)."""


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
        Best semantic logit minus the second best, float32, one a step, that of END included.
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


def speak(
    run: Runner,
    checkpoint: Checkpoint,
    text: str,
    voice: str,
    *,
    seed: int = 42,
    max_frames: int,
    max_seq_len: int,
    codec_frames: int,
    dtype: str = "float32",
    seed_step: bool = True,
    rounding: Rounding = "half-away",
    state: str = "speech",
) -> Speech:
    """Say `text`, greedily, with the methods of `run`.

    Parameters
    ----------
    run
        Has the six methods under their names; its `state` is reset first.
    checkpoint
        Gives the tokenizer, the voice and the sizes.
    text, voice
        What to say, and in whose voice.
    seed
        Of the flow's starting noise.
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
    state
        Name of the KV cache to use.

    Raises
    ------
    InputError
        No such voice, or a prompt that does not fit the KV cache.
    CheckpointError
        The tokenizer, the voice and the model do not agree.

    References
    ----------
    ``examples/models/voxtral_tts/voxtral_tts_runner.cpp`` (`synthesize_offline`).
    """
    from harness.checkpoint.loading import load_voice  # needs torch, which decoding does not

    config = checkpoint.config
    voice_rows = load_voice(checkpoint, voice)
    prompt = build_prompt(checkpoint, text, voice, len(voice_rows))
    decoder = _Decoder(run, state, dtype)
    _check_capacity(prompt.shape[1] + seed_step, max_seq_len)

    run.reset(state)
    embeds = decoder.call("token_embedding", prompt).copy()
    embeds[0, 2 : 2 + len(voice_rows)] = voice_rows  # after [BOS] [BEGIN_AUDIO]
    hidden = decoder.advance(embeds)
    if seed_step:
        audio_token = np.array([[config.audio_token_id]], np.int64)
        hidden = decoder.advance(decoder.call("token_embedding", audio_token))

    noise = FlowNoise(seed)
    frames: list[NDArray[np.int64]] = []
    argmax_margins: list[np.float32] = []
    rounding_margins: list[Float32] = []
    ended = False
    while len(frames) < max_frames and decoder.position < max_seq_len:
        logits = decoder.call("semantic_head", hidden).reshape(-1)
        semantic = int(np.argmax(logits))
        second, first = np.partition(logits, -2)[-2:]
        argmax_margins.append(first - second)
        if semantic == END_AUDIO:
            ended = True
            break
        x = solve_flow(decoder, config, noise.normal(config.acoustic_dim), hidden)
        acoustic, margin = round_codes(x, config.acoustic_levels, rounding)
        rounding_margins.append(margin)
        frames.append(np.concatenate([[semantic], acoustic + N_SPECIAL_CODES]))
        embeds = decoder.call("audio_token_embedding", frames[-1].reshape(1, -1, 1))
        hidden = decoder.advance(embeds)

    codes = np.array(frames, np.int64).reshape(-1, config.n_codebooks).T
    return Speech(
        prompt_ids=prompt[0],
        codes=codes,
        ended=ended,
        waveform=decode_codes(run, config, codes, codec_frames, state=state),
        argmax_margins=np.array(argmax_margins, np.float32),
        rounding_margins=np.array(rounding_margins, np.float32).reshape(-1, config.acoustic_dim).T,
    )


class _Decoder:
    """The methods of `run` with float32 outside and `dtype` inside, and the next position."""

    def __init__(self, run: Runner, state: str, dtype: str) -> None:
        self._run, self._state, self._dtype = run, state, dtype
        self.position = 0

    def call(self, method: str, *inputs: Array) -> Float32:
        staged = [
            value if value.dtype == np.int64 else as_array(value, self._dtype) for value in inputs
        ]
        (output,) = self._run.call(method, staged, state=self._state)
        return output.astype(np.float32)

    def advance(self, embeds: Float32) -> Float32:
        """Append `embeds`, shape (1, S, dim), and return the last hidden state, (1, dim)."""
        length = embeds.shape[1]
        positions = np.arange(self.position, self.position + length, dtype=np.int64)
        self.position += length
        return self.call("text_decoder", embeds, positions)[:, -1]


def solve_flow(decoder: _Decoder, config: Config, x: Float32, hidden: Float32) -> Float32:
    """Carry noise `x`, shape (acoustic_dim,), to an acoustic frame by Euler steps with guidance.

    Every step mixes the velocity for `hidden` with that for a zero hidden state, in float32
    and in the runner's order: ``v = α·cond + (1 − α)·uncond``, ``x += v·dt``.
    """
    steps = config.n_decoding_steps
    times = np.arange(steps + 1, dtype=np.float32) / np.float32(steps)
    unconditional = np.zeros_like(hidden)
    for step in range(steps):
        index = np.array([step], np.int64)
        cond = decoder.call("predict_velocity", x[None], index, hidden)[0]
        uncond = decoder.call("predict_velocity", x[None], index, unconditional)[0]
        velocity = CFG_ALPHA * cond + (np.float32(1) - CFG_ALPHA) * uncond
        x = x + velocity * (times[step + 1] - times[step])
    return x


def round_codes(
    x: Float32, levels: int, rounding: Rounding = "half-away"
) -> tuple[NDArray[np.int64], Float32]:
    """Acoustic values to codes 0..levels-1, and each one's distance from a rounding tie.

    Parameters
    ----------
    x
        float32, shape (acoustic_dim,); clamped to ±1.
    levels
        Levels of each codebook.
    rounding
        See `Rounding`.
    """
    clamped = np.clip(x, np.float32(-1), np.float32(1))
    scaled = ((clamped + np.float32(1)) / np.float32(2)) * np.float32(levels - 1)
    below = np.floor(scaled)
    if rounding == "half-away":
        # `scaled` is never negative, so away from zero is up; adding 0.5 first could round.
        rounded = below + (scaled - below >= np.float32(0.5))
    else:
        rounded = np.rint(scaled)
    margin = np.abs(scaled - below - np.float32(0.5)).astype(np.float32)
    return rounded.astype(np.int64), margin


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
    context, and the last window is padded with its last frame, not with zeros, which would be
    heard by the frames before.
    """
    pieces = [np.zeros(0, np.float32)]
    for start in range(0, codes.shape[1], codec_frames):
        window = codes[:, start : start + codec_frames]
        padded = np.pad(window, ((0, 0), (0, codec_frames - window.shape[1])), mode="edge")
        (waveform,) = run.call("codec", [padded[None]], state=state)
        samples = window.shape[1] * config.downsample_factor
        pieces.append(waveform.reshape(-1)[:samples].astype(np.float32))
    return np.concatenate(pieces)


def _check_capacity(needed: int, max_seq_len: int) -> None:
    if needed >= max_seq_len:
        raise InputError(
            f"the prompt takes {needed} positions and the KV cache has {max_seq_len}, which "
            "leaves none for speech: shorten the text or raise max_seq_len"
        )
