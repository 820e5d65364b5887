"""The loop that makes frames of codes, in the order of upstream's C++ runner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array, as_array
from harness.checkpoint import Config
from harness.errors import InputError
from harness.synthesis.noise import FlowNoise
from harness.synthesis.record import Runner
from harness.synthesis.sampling import Choice, SemanticSampler

__all__ = ["Frames", "Rounding", "check_capacity", "round_codes"]

Float32 = NDArray[np.float32]

END_AUDIO = 1
"""The semantic code that ends speech; 0 is EMPTY."""

N_SPECIAL_CODES = 2
"""Offset of every code, below which are EMPTY and END."""

CFG_ALPHA = np.float32(1.2)
"""Weight of classifier-free guidance, the same in every public implementation."""

Rounding = Literal["half-away", "half-even"]
"""Ties of acoustic codes: away from zero (upstream's C++ runner) or to even (torch, mlx)."""


class Frames:
    """Frames of one speech, made as they are asked for.

    Parameters
    ----------
    run
        Has the methods under their names; its `state` is reset first.
    config
        The model's sizes.
    prompt
        Token ids, int64, shape (1, S).
    voice_rows
        Embeddings of the voice, float32, shape (rows, dim), which replace those of [AUDIO].
    seed, temperature, max_frames, max_seq_len, dtype, seed_step, rounding, state
        As in `speak`.

    Attributes
    ----------
    codes
        Of the frames made so far, int64, shape (n_codebooks,) each.
    choices
        How each semantic code was chosen, that of END included.
    rounding_margins
        Of the frames made so far, float32, shape (acoustic_dim,) each.
    ended
        Whether END_AUDIO came.

    Raises
    ------
    InputError
        The prompt does not fit the KV cache, or the temperature makes no sense.
    """

    def __init__(
        self,
        run: Runner,
        config: Config,
        prompt: NDArray[np.int64],
        voice_rows: Float32,
        *,
        seed: int,
        temperature: float,
        max_frames: int,
        max_seq_len: int,
        dtype: str,
        seed_step: bool,
        rounding: Rounding,
        state: str,
    ) -> None:
        check_capacity(prompt.shape[1] + seed_step, max_seq_len)
        self._config = config
        self._decoder = _Decoder(run, state, dtype)
        self._prompt, self._voice_rows, self._seed_step = prompt, voice_rows, seed_step
        self._max_frames, self._max_seq_len = max_frames, max_seq_len
        self._rounding: Rounding = rounding
        self._sampler = SemanticSampler(seed, temperature)
        self._noise = FlowNoise(seed)
        self.codes: list[NDArray[np.int64]] = []
        self.choices: list[Choice] = []
        self.rounding_margins: list[Float32] = []
        self.ended = False

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """Make the frames, giving each before it is fed back."""
        hidden = self._read_prompt()
        decoder = self._decoder
        while len(self.codes) < self._max_frames and decoder.position < self._max_seq_len:
            logits = decoder.call("semantic_head", hidden).reshape(-1)
            choice = self._sampler.choose(logits)
            self.choices.append(choice)
            if choice.code == END_AUDIO:
                self.ended = True
                return
            x = _solve_flow(decoder, self._config, self._noise, hidden)
            acoustic, margin = round_codes(x, self._config.acoustic_levels, self._rounding)
            codes = np.concatenate([[choice.code], acoustic + N_SPECIAL_CODES])
            self.rounding_margins.append(margin)
            self.codes.append(codes)
            yield codes
            embeds = decoder.call("audio_token_embedding", codes.reshape(1, -1, 1))
            hidden = decoder.advance(embeds)

    def _read_prompt(self) -> Float32:
        """Prefill, and the seed step if there is one; the last hidden state."""
        decoder = self._decoder
        decoder.reset()
        embeds = decoder.call("token_embedding", self._prompt).copy()
        embeds[0, 2 : 2 + len(self._voice_rows)] = self._voice_rows  # after [BOS] [BEGIN_AUDIO]
        hidden = decoder.advance(embeds)
        if self._seed_step:
            audio_token = np.array([[self._config.audio_token_id]], np.int64)
            hidden = decoder.advance(decoder.call("token_embedding", audio_token))
        return hidden


class _Decoder:
    """The methods of `run` with float32 outside and `dtype` inside, and the next position."""

    def __init__(self, run: Runner, state: str, dtype: str) -> None:
        self._run, self._state, self._dtype = run, state, dtype
        self.position = 0

    def reset(self) -> None:
        self._run.reset(self._state)
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


def _solve_flow(decoder: _Decoder, config: Config, noise: FlowNoise, hidden: Float32) -> Float32:
    """Carry noise to an acoustic frame, shape (acoustic_dim,), by Euler steps with guidance.

    Every step mixes the velocity for `hidden` with that for a zero hidden state, in float32
    and in the runner's order: ``v = α·cond + (1 − α)·uncond``, ``x += v·dt``.
    """
    x = noise.normal(config.acoustic_dim)
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


def check_capacity(needed: int, max_seq_len: int) -> None:
    """Refuse a prompt of `needed` positions that leaves none for speech.

    Raises
    ------
    InputError
        It does.
    """
    if needed >= max_seq_len:
        raise InputError(
            f"the prompt takes {needed} positions and the KV cache has {max_seq_len}, which "
            "leaves none for speech: shorten the text or raise max_seq_len"
        )
