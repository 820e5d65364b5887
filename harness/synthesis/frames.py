"""The loop that makes frames of codes, in the order of upstream's C++ runner."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array, as_array
from harness.checkpoint import Config
from harness.checkpoint.config import END_AUDIO, N_SPECIAL_CODES
from harness.synthesis.noise import FlowNoise
from harness.synthesis.record import Runner, call_for_one
from harness.synthesis.sampling import Choice, SemanticSampler
from harness.synthesis.utterance import Limits, Prompt, Rounding, Utterance, check_capacity

__all__ = [
    "END_AUDIO",
    "N_SPECIAL_CODES",
    "Decoder",
    "Forced",
    "Frames",
    "acoustic_codes",
    "round_levels",
    "scaled_levels",
]

Float32 = NDArray[np.float32]

CFG_ALPHA = np.float32(1.2)
"""Weight of classifier-free guidance, the same in every public implementation."""

Forced = tuple[NDArray[np.int64], bool]
"""Codes to follow, int64, shape (n_codebooks, frames), and whether END_AUDIO comes after them."""


class Frames:
    """Frames of one speech, made as they are asked for.

    Parameters
    ----------
    decoder, config
        Runs the methods, its state reset first; the model's sizes.
    prompt, utterance
        What is said.
    forced
        Codes that somebody else chose: they are fed back in the place of the model's own choices,
        which are kept all the same. Speech ends as they do.

    Attributes
    ----------
    codes
        Of the frames made so far, as fed back, int64, shape (n_codebooks,) each.
    choices
        How the model itself chose each semantic code, that of END included.
    behind
        How far the logit of the code that was fed back lies behind that of the model's own choice.
    levels
        What the acoustic codes were rounded from, float32, shape (acoustic_dim,) each; see
        `scaled_levels`.
    ended
        Whether END_AUDIO came.

    Raises
    ------
    InputError
        The prompt does not fit the KV cache, or the temperature makes no sense.
    """

    def __init__(
        self,
        decoder: Decoder,
        config: Config,
        prompt: Prompt,
        utterance: Utterance,
        forced: Forced | None = None,
    ) -> None:
        check_capacity(prompt.ids.shape[1] + utterance.seed_step, decoder.max_seq_len)
        self._decoder, self._config = decoder, config
        self._prompt, self._utterance, self._forced = prompt, utterance, forced
        self._sampler = SemanticSampler(utterance.seed, utterance.temperature)
        self._noise = FlowNoise(utterance.seed)
        self.codes: list[NDArray[np.int64]] = []
        self.choices: list[Choice] = []
        self.behind: list[np.float32] = []
        self.levels: list[Float32] = []
        self.ended = False

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """Make the frames, giving each before it is fed back."""
        hidden = self._read_prompt()
        decoder = self._decoder
        while len(self.codes) < self._most() and decoder.position < decoder.max_seq_len:
            frame = len(self.codes)
            logits = decoder.call("semantic_head", hidden).reshape(-1)
            choice = self._sampler.choose(logits)
            self.choices.append(choice)
            code = choice.code if self._forced is None else self._forced_code(frame)
            self.behind.append(logits[choice.code] - logits[code])
            if code == END_AUDIO:
                self.ended = True
                return
            x = _solve_flow(decoder, self._config, self._noise, hidden)
            self.levels.append(scaled_levels(x, self._config.acoustic_levels))
            if self._forced is None:
                acoustic = acoustic_codes(self.levels[-1], self._utterance)
                codes = np.concatenate([[code], acoustic])
            else:
                codes = self._forced[0][:, frame]
            self.codes.append(codes)
            yield codes
            embeds = decoder.call("audio_token_embedding", codes.reshape(1, -1, 1))
            hidden = decoder.advance(embeds)

    def _most(self) -> int:
        """Frames after which to stop; forced codes have a choice after the last one too."""
        if self._forced is None:
            return self._utterance.max_new_tokens
        return self._forced[0].shape[1] + self._forced[1]

    def _forced_code(self, frame: int) -> int:
        assert self._forced is not None
        codes, _ = self._forced
        return int(codes[0, frame]) if frame < codes.shape[1] else END_AUDIO

    def _read_prompt(self) -> Float32:
        """Prefill, and the seed step if there is one; the last hidden state."""
        decoder = self._decoder
        decoder.reset()
        embeds = decoder.call("token_embedding", self._prompt.ids).copy()
        rows = self._prompt.voice_rows
        embeds[0, 2 : 2 + len(rows)] = rows  # after [BOS] [BEGIN_AUDIO]
        hidden = decoder.advance(embeds)
        if self._utterance.seed_step:
            audio_token = np.array([[self._config.audio_token_id]], np.int64)
            hidden = decoder.advance(decoder.call("token_embedding", audio_token))
        return hidden


class Decoder:
    """The methods of `run`, with float32 outside and `limits.dtype` inside, and their position."""

    def __init__(self, run: Runner, limits: Limits, state: str) -> None:
        self._run, self._state, self._dtype = run, state, limits.dtype
        self.max_seq_len = limits.max_seq_len
        self.position = 0

    def reset(self) -> None:
        """Begin again with an empty KV cache."""
        self._run.reset(self._state)
        self.position = 0

    def call(self, method: str, *inputs: Array) -> Float32:
        """Run `method` once; floating-point inputs take its type, the output is float32."""
        staged = [
            value if value.dtype == np.int64 else as_array(value, self._dtype) for value in inputs
        ]
        return call_for_one(self._run, method, staged, self._state).astype(np.float32)

    def advance(self, embeds: Float32) -> Float32:
        """Append `embeds`, shape (1, S, dim), and return the last hidden state, (1, dim)."""
        length = embeds.shape[1]
        positions = np.arange(self.position, self.position + length, dtype=np.int64)
        self.position += length
        return self.call("text_decoder", embeds, positions)[:, -1]


def _solve_flow(decoder: Decoder, config: Config, noise: FlowNoise, hidden: Float32) -> Float32:
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


def scaled_levels(x: Float32, levels: int) -> Float32:
    """Acoustic values, clamped to ±1, in units of a codebook's levels: 0 … levels − 1."""
    clamped = np.clip(x, np.float32(-1), np.float32(1))
    return ((clamped + np.float32(1)) / np.float32(2)) * np.float32(levels - 1)


def acoustic_codes(scaled: Float32, utterance: Utterance) -> NDArray[np.int64]:
    """The codes of `scaled_levels`, special ones left out."""
    return round_levels(scaled, utterance.rounding) + N_SPECIAL_CODES


def round_levels(scaled: Float32, rounding: Rounding = "half-away") -> NDArray[np.int64]:
    """The level nearest to each of `scaled_levels`."""
    if rounding == "half-even":
        return np.rint(scaled).astype(np.int64)
    # Never negative, so away from zero is up; adding 0.5 first could round.
    below = np.floor(scaled)
    return (below + (scaled - below >= np.float32(0.5))).astype(np.int64)
