"""A wrong loop: from the prompt to frames, and from frames to samples, on the candidate's side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.synthesis import decoding, frames, noise
from tests.mutate.bench import Bench, Fault, Patch, Trial

__all__ = ["speech_faults"]

Install = Callable[[Patch], None]


def _window(change: Callable[[Array, int], Array]) -> Install:
    """Pad the codec's window otherwise; `change` gets codes and the frames of a call."""

    def install(patch: Patch) -> None:
        def decode(codes: Array, run: Any, config: Any, codec_frames: int, state: str) -> Array:
            count = codes.shape[1]
            (wave,) = run.call("codec", [change(codes, codec_frames)[None]], state=state)
            return wave.reshape(-1)[: count * config.downsample_factor].astype(np.float32)

        patch.setattr(decoding, "_decode_window", decode)

    return install


def _zero_padded(codes: Array, size: int) -> Array:
    return np.pad(codes, ((0, 0), (0, size - codes.shape[1])))


def _padded_in_front(codes: Array, size: int) -> Array:
    return np.pad(codes, ((0, 0), (size - codes.shape[1], 0)), mode="edge")


def _context(missing: Callable[[int], int]) -> Install:
    """Streams with less context than they say."""

    def install(patch: Patch) -> None:
        before = decoding.Stream._decode

        def decode(self: Any) -> Array:
            chunks, lookback = self._chunks, decoding.codec_lookback(self._codec[1])
            self._chunks = dataclasses.replace(chunks, left_context=missing(lookback))
            try:
                return before(self)
            finally:
                self._chunks = chunks

        patch.setattr(decoding.Stream, "_decode", decode)

    return install


def _hidden_before(patch: Patch) -> None:
    """Every choice is made on the hidden state of the step before."""
    advance = frames.Decoder.advance

    def stale(self: Any, embeds: Array) -> Array:
        now = advance(self, embeds)
        before, self.kept = getattr(self, "kept", now), now
        return before

    patch.setattr(frames.Decoder, "advance", stale)


def _position(step: int) -> Install:
    def install(patch: Patch) -> None:
        advance = frames.Decoder.advance

        def late(self: Any, embeds: Array) -> Array:
            if embeds.shape[1] == 1 and not getattr(self, "moved", False):
                self.position, self.moved = self.position + step, True
            return advance(self, embeds)

        patch.setattr(frames.Decoder, "advance", late)

    return install


def _rounded(round_levels: Callable[[Array], Array]) -> Install:
    return lambda patch: patch.setattr(frames, "round_levels", lambda x, *how: round_levels(x))


def _flow(steps: int = 0, alpha: float = 1.2, knot: int = 0, unconditional: bool = True) -> Install:
    """Another solver: more steps, other guidance, the next knot, or no second branch."""

    def install(patch: Patch) -> None:
        def solve(decoder: Any, config: Any, draw: Any, hidden: Array) -> Array:
            x = draw.normal(config.acoustic_dim)
            count = config.n_decoding_steps + steps
            dt = np.float32(1 / count)
            zero = np.zeros_like(hidden)
            for step in range(count):
                index = np.array([min(step + knot, config.n_decoding_steps)], np.int64)
                cond = decoder.call("predict_velocity", x[None], index, hidden)[0]
                other = zero if unconditional else hidden
                uncond = decoder.call("predict_velocity", x[None], index, other)[0]
                x = x + (np.float32(alpha) * cond + np.float32(1 - alpha) * uncond) * dt
            return x

        patch.setattr(frames, "_solve_flow", solve)

    return install


def _gaussian(patch: Patch) -> None:
    """Noise of another generator: numpy's."""

    class Other:
        def __init__(self, seed: int) -> None:
            self.random = np.random.default_rng(seed)

        def normal(self, size: int) -> Array:
            return self.random.standard_normal(size).astype(np.float32)

    patch.setattr(frames, "FlowNoise", Other)


def _noise(change: Callable[[Any], np.float32]) -> Install:
    return lambda patch: patch.setattr(noise.FlowNoise, "_next_normal", change)


def _sine_branch(self: Any) -> np.float32:
    u1, u2 = self._next_uniform(), self._next_uniform()
    radius = np.sqrt(np.float32(-2) * np.log(u1))
    return np.float32(radius * np.sin(np.float32(2 * np.pi) * u2))


def _voice_late(patch: Patch) -> None:
    """The voice's rows begin one position late."""
    before = frames.Frames._read_prompt

    def read(self: Any) -> Array:
        rows = self._prompt.voice_rows
        moved = np.roll(rows, 1, axis=0)
        kept, self._prompt = self._prompt, dataclasses.replace(self._prompt, voice_rows=moved)
        try:
            return before(self)
        finally:
            self._prompt = kept

    patch.setattr(frames.Frames, "_read_prompt", read)


def _no_seed_step(patch: Patch) -> None:
    init = frames.Frames.__init__

    def without(
        self: Any, decoder: Any, config: Any, prompt: Any, utterance: Any, *rest: Any
    ) -> None:
        init(self, decoder, config, prompt, dataclasses.replace(utterance, seed_step=False), *rest)

    patch.setattr(frames.Frames, "__init__", without)


def _goes_on(patch: Patch) -> None:
    """END is decoded as a frame."""
    patch.setattr(frames, "END_AUDIO", -1)


def _ends_early(patch: Patch) -> None:
    """Speech ends after four frames."""
    before = frames.Frames._most
    patch.setattr(frames.Frames, "_most", lambda self: min(4, before(self)))


def _offset(step: int) -> Install:
    """Acoustic codes with another special-code offset."""
    return lambda patch: patch.setattr(frames, "N_SPECIAL_CODES", 2 + step)


def _dropped(patch: Patch) -> None:
    """The stream drops the first sample of each chunk after the first."""
    before = decoding.Stream._decode

    def decode(self: Any) -> Array:
        first = not self._done
        made = before(self)
        return made if first else np.concatenate([made[1:], made[-1:]])

    patch.setattr(decoding.Stream, "_decode", decode)


LIST: tuple[tuple[str, str, Install], ...] = (
    ("historical", "codec window padded with zeros", _window(_zero_padded)),
    ("synthesis", "codec window padded in front", _window(_padded_in_front)),
    ("synthesis", "stream context one short", _context(lambda lookback: lookback - 1)),
    ("synthesis", "stream without context", _context(lambda lookback: 0)),
    ("synthesis", "stream drops a sample", _dropped),
    ("synthesis", "hidden of the step before", _hidden_before),
    ("synthesis", "a position skipped after the prompt", _position(1)),
    ("synthesis", "a position written twice", _position(-1)),
    ("synthesis", "acoustic codes cut instead of rounded",
     _rounded(lambda x: np.floor(x).astype(np.int64))),
    ("synthesis", "acoustic codes rounded up", _rounded(lambda x: np.ceil(x).astype(np.int64))),
    ("synthesis", "eight flow steps", _flow(steps=1)),
    ("synthesis", "guidance 1.25", _flow(alpha=1.25)),
    ("synthesis", "no guidance", _flow(alpha=1.0)),
    ("synthesis", "the next knot's time", _flow(knot=1)),
    ("synthesis", "guidance against the same hidden state", _flow(unconditional=False)),
    ("historical", "noise of another generator", _gaussian),
    ("synthesis", "noise of the sine branch", _noise(_sine_branch)),
    ("synthesis", "voice one row late", _voice_late),
    ("synthesis", "no seed step", _no_seed_step),
    ("synthesis", "END decoded as a frame", _goes_on),
    ("synthesis", "ends after four frames", _ends_early),
    ("historical", "special-code offset not added", _offset(-2)),
    ("synthesis", "special-code offset one too many", _offset(1)),
)  # fmt: skip


def speech_faults() -> Iterator[Fault]:
    """Every wrong step of the loop; eager's evidence was made with the right one."""
    for kind, label, install in LIST:
        yield Fault(
            f"speech: {label}", kind, "speech", partial(_run, install=install)
        )  # fmt: skip


def _run(bench: Bench, install: Install) -> Trial:
    return Trial(bench.on_speech(install))
