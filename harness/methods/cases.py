"""The inputs a method is judged on besides the recorded speech: seeded random and edges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.arrays import Array, as_array
from harness.methods.spec import Dimensions

__all__ = ["WIDE", "Case", "edge_cases", "random_cases"]


@dataclass(frozen=True)
class Case:
    """Calls of one method, made in order from a fresh state.

    Attributes
    ----------
    method, label
        Name of the method, and what the inputs are, e.g. ``"S=1, first and last id"``.
    calls, states
        For each call, its inputs in call order, and the name of the state that it runs in; no
        states: one for all.
    """

    method: str
    label: str
    calls: tuple[tuple[Array, ...], ...]
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.states and len(self.states) != len(self.calls):
            raise ValueError(f"{self.label}: {len(self.states)} states, {len(self.calls)} calls")

    def in_states(self) -> Iterator[tuple[str, tuple[Array, ...]]]:
        """Each call with the name of its state, in order."""
        return zip(self.states or ("default",) * len(self.calls), self.calls, strict=True)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The states that it runs in, each once; they are fresh at first."""
        return tuple(dict.fromkeys(state for state, _ in self.in_states()))

    def first(self, count: int) -> Case:
        """Its first calls."""
        return replace(self, calls=self.calls[:count], states=self.states[:count])


def edge_cases(method: str, sizes: Dimensions, float_type: str = "float32") -> tuple[Case, ...]:
    """Random and edge inputs of `method`, the same on every machine.

    Floating-point inputs are of `float_type`, ``"float32"`` or ``"bfloat16"``, and uniform with
    unit variance: the scale of a live model's hidden states and embeddings.
    """
    make = _MAKERS[method](sizes, _Draw(method, float_type))
    cases = [Case(method, label, tuple(calls)) for label, calls in make]
    if method == "text_decoder":
        cases.append(_interleaved(sizes, _Draw(f"{method}/interleaved", float_type)))
    return tuple(cases)


def random_cases(method: str, sizes: Dimensions, float_type: str, seed: int) -> tuple[Case, ...]:
    """The random ones among `edge_cases`, drawn from another seed; none that fills the KV cache."""
    draw = _Draw(f"{method}/{seed}", float_type)
    return tuple(
        Case(method, f"{label}, seed {seed}", tuple(calls))
        for label, calls in _MAKERS[method](sizes, draw)
        if "random" in label and "S=max" not in label
    )


_MOST_STEPS, _FEW_STEPS = 64, 4
"""Single steps of a decoder, and of a wide one."""

WIDE = 1024
"""Width from which on each call takes a CPU seconds."""


class _Draw:
    """Reproducible inputs: numpy's Philox, keyed by the method's name."""

    def __init__(self, method: str, float_type: str) -> None:
        key = int.from_bytes(hashlib.sha256(f"cases/{method}".encode()).digest()[:16], "little")
        self._bits = np.random.Philox(key=key)
        self._float_type = float_type

    def reals(self, *shape: int) -> Array:
        """Uniform with mean 0 and variance 1, from the top 24 bits: exact in float32."""
        raw = self._bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        unit = raw.astype(np.float32) / np.float32(1 << 24)
        spread = np.float32(3.4641016)  # sqrt(12): a unit interval's inverse deviation
        return as_array(((unit - np.float32(0.5)) * spread).reshape(shape), self._float_type)

    def zeros(self, *shape: int) -> Array:
        """All zero."""
        return as_array(np.zeros(shape), self._float_type)

    def below(self, limit: int, *shape: int) -> Array:
        """Integers 0..limit − 1."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        return (raw % np.uint64(limit)).astype(np.int64).reshape(shape)


_Made = Iterator[tuple[str, list[tuple[Array, ...]]]]


def _token_embedding(sizes: Dimensions, draw: _Draw) -> _Made:
    ends = np.array([[0, sizes.vocab_size - 1]], dtype=np.int64)
    yield "S=1, first and last id", [(ends[:, :1],), (ends[:, 1:],)]
    yield "S=2, first and last id", [(ends,)]
    yield "S=7, random", [(draw.below(sizes.vocab_size, 1, 7),)]
    yield "S=max, random", [(draw.below(sizes.vocab_size, 1, sizes.max_seq_len),)]
    # A wrong row shows only where it is read.
    rows = _all_or_some(sizes.vocab_size, sizes.max_seq_len, most_calls=64)
    yield _sweep_label("id", rows, sizes.vocab_size), [(row[None],) for row in rows]


def _codes(sizes: Dimensions, draw: _Draw, frames: int) -> Array:
    """Random codes (1, n_codebooks, frames), special tokens included."""
    semantic = draw.below(sizes.semantic_codebook_size + 2, 1, 1, frames)
    acoustic = draw.below(sizes.acoustic_levels + 2, 1, sizes.acoustic_dim, frames)
    return np.concatenate([semantic, acoustic], axis=1)


def _last_codes(sizes: Dimensions, frames: int) -> Array:
    codes = np.full((1, sizes.n_codebooks, frames), sizes.acoustic_levels + 1, dtype=np.int64)
    codes[:, 0] = sizes.semantic_codebook_size + 1
    return codes


def _audio_token_embedding(sizes: Dimensions, draw: _Draw) -> _Made:
    specials = np.zeros((1, sizes.n_codebooks, 1), dtype=np.int64)
    yield "all codes special", [(specials,), (specials + 1,)]
    yield "last code of each codebook", [(_last_codes(sizes, 1),)]
    yield "random", [(_codes(sizes, draw, 1),) for _ in range(4)]
    yield _code_sweep(sizes, 1, most_calls=1024)


def _text_decoder(sizes: Dimensions, draw: _Draw) -> _Made:
    capacity = sizes.max_seq_len

    def steps(*lengths: int) -> list[tuple[Array, ...]]:
        starts = np.cumsum([0, *lengths[:-1]])
        return [
            (draw.reals(1, length, sizes.dim), np.arange(start, start + length, dtype=np.int64))
            for start, length in zip(starts, lengths, strict=True)
        ]

    yield "S=1 twice, random", steps(1, 1)
    some, more = capacity // 4, capacity // 3
    yield f"S={some} then {more} then 1, random", steps(some, more, 1)
    yield "S=max, random", steps(capacity)
    yield "S=max−1 then the last slot, random", steps(capacity - 1, 1)
    # Positions that neither speech nor a prefill reaches one by one: a wrong rotation or slot of
    # the cache shows only where it is used.
    singles = min(capacity // 2, _MOST_STEPS if sizes.dim < WIDE else _FEW_STEPS)
    yield (
        f"S={capacity - singles} then {singles} single steps",
        steps(capacity - singles, *[1] * singles),
    )


def _interleaved(sizes: Dimensions, draw: _Draw) -> Case:
    """Two sequences by turns, each in a KV cache of its own; one shared by both shows."""
    lengths = (max(1, sizes.max_seq_len // 3), 1, 1)
    calls, start = [], 0
    for length in lengths:
        position = np.arange(start, start + length, dtype=np.int64)
        calls += [(draw.reals(1, length, sizes.dim), position) for _ in range(2)]
        start += length
    states = ("first", "second") * len(lengths)
    return Case("text_decoder", "two states by turns", tuple(calls), states)


def _semantic_head(sizes: Dimensions, draw: _Draw) -> _Made:
    yield "random", [(draw.reals(1, sizes.dim),) for _ in range(4)]
    large = draw.reals(1, sizes.dim)
    yield "random ×100", [(as_array(large * 100, str(large.dtype)),)]


def _predict_velocity(sizes: Dimensions, draw: _Draw) -> _Made:
    def call(knot: int, hidden: Array) -> tuple[Array, ...]:
        return draw.reals(1, sizes.acoustic_dim), np.array([knot], dtype=np.int64), hidden

    last = sizes.n_decoding_steps - 1
    for knot in (0, last):
        yield f"t_idx={knot}, random", [call(knot, draw.reals(1, sizes.dim)) for _ in range(2)]
    yield "hidden=0 (unconditional)", [call(k, draw.zeros(1, sizes.dim)) for k in (0, last)]


def _codec(sizes: Dimensions, draw: _Draw) -> _Made:
    frames = sizes.max_codec_frames
    yield "all codes special", [(np.zeros((1, sizes.n_codebooks, frames), dtype=np.int64),)]
    yield "last code of each codebook", [(_last_codes(sizes, frames),)]
    yield "random", [(_codes(sizes, draw, frames),)]
    yield _code_sweep(sizes, frames, most_calls=16)


def _code_sweep(sizes: Dimensions, frames: int, most_calls: int) -> tuple[str, list[Any]]:
    """Every semantic code, beside every acoustic one, `frames` a call."""
    size = sizes.semantic_codebook_size + 2
    rows = _all_or_some(size, frames, most_calls)
    codebooks = np.arange(sizes.acoustic_dim)[:, None]
    calls = []
    for index, semantic in enumerate(rows):
        steps = np.arange(index * frames, (index + 1) * frames)
        acoustic = (steps + codebooks) % (sizes.acoustic_levels + 2)
        calls.append((np.concatenate([semantic[None], acoustic])[None].astype(np.int64),))
    return _sweep_label("code", rows, size), calls


def _all_or_some(size: int, width: int, most_calls: int) -> Array:
    """Rows of `width` indices that cover 0..size − 1, or one row spread evenly over them.

    The last row is filled up by beginning again.
    """
    count = -(-size // width)
    if count <= most_calls:
        return (np.arange(count * width, dtype=np.int64) % size).reshape(count, width)
    return np.linspace(0, size - 1, width).astype(np.int64)[None]


def _sweep_label(what: str, rows: Array, size: int) -> str:
    return f"every {what}" if rows.size >= size else f"{rows.size} {what}s spread evenly"


_MAKERS = {
    "token_embedding": _token_embedding,
    "audio_token_embedding": _audio_token_embedding,
    "text_decoder": _text_decoder,
    "semantic_head": _semantic_head,
    "predict_velocity": _predict_velocity,
    "codec": _codec,
}
