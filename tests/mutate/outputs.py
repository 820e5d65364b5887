"""Damage to what a method gave: sound that a listener hears, numbers that a comparison sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import signal

from harness.arrays import Array
from harness.methods import METHODS
from harness.runtime.portable import PortableExecutor
from tests.mutate.bench import Bench, Fault, Trial

__all__ = ["NUMBERS", "SOUND", "output_faults"]

Damage = Callable[[Array], Array]

_RATE = 24000


def _as(y: Array, values: Array) -> Array:
    return values.astype(y.dtype).reshape(y.shape)


def _noise(y: Array) -> Array:
    x = y.astype(np.float64)
    level = 0.1 * np.sqrt(np.mean(x[np.isfinite(x)] ** 2))
    return _as(y, x + level * np.random.default_rng(0).standard_normal(y.shape))


def _hole(y: Array) -> Array:
    """300 ms of silence where the sound is quietest."""
    flat, width = y.astype(np.float64).reshape(-1), int(0.3 * _RATE)
    power = np.convolve(flat**2, np.ones(width), "valid")
    start = int(np.argmin(power))
    flat[start : start + width] = 0
    return _as(y, flat)


def _tone(y: Array) -> Array:
    x = y.astype(np.float64).reshape(-1)
    tone = np.sin(2 * np.pi * 1000 * np.arange(x.size) / _RATE)
    return _as(y, x + 0.01 * np.abs(x).max() * tone)


def _quantised(y: Array) -> Array:
    x = y.astype(np.float64)
    return _as(y, np.round(x * 127) / 127)


def _gated(y: Array) -> Array:
    """Everything under 2 % of the peak becomes silence."""
    x = y.astype(np.float64)
    return _as(y, np.where(np.abs(x) < 0.02 * np.abs(x).max(), 0, x))


def _low_pass(y: Array) -> Array:
    x = y.astype(np.float64).reshape(-1)
    return _as(y, signal.lfilter([0.5, 0.5], [1], x))


def _late(y: Array) -> Array:
    return _as(y, np.concatenate([[0], y.reshape(-1)[:-1].astype(np.float64)]))


def _clipped(y: Array) -> Array:
    x = y.astype(np.float64)
    peak = 0.6 * np.abs(x).max()
    return _as(y, np.clip(x, -peak, peak))


def _offset(y: Array) -> Array:
    x = y.astype(np.float64)
    return _as(y, x + 1e-3 * np.abs(x).max())


def _glitch(y: Array) -> Array:
    """One sample has the other sign."""
    flat = y.copy().reshape(-1)
    at = int(np.argmax(np.abs(flat.astype(np.float64))))
    flat[at] = -flat[at]
    return flat.reshape(y.shape)


SOUND: Mapping[str, Damage] = {
    "white noise at −20 dB": _noise,
    "a hole of 300 ms": _hole,
    "a tone at −40 dB": _tone,
    "8-bit samples": _quantised,
    "silence under 2 % of the peak": _gated,
    "a two-tap low-pass": _low_pass,
    "one sample late": _late,
    "clipped at 60 % of the peak": _clipped,
    "an offset of 0.1 % of the peak": _offset,
    "one sample's sign": _glitch,
    "gain −1 %": lambda y: _as(y, y.astype(np.float64) * 0.99),
}


def _finite(y: Array) -> Array:
    return np.flatnonzero(np.isfinite(y.astype(np.float64)))


def _nan(y: Array) -> Array:
    y = y.copy()
    y.flat[y.size // 2] = np.nan
    return y


def _element(y: Array) -> Array:
    y = y.copy()
    at = _finite(y)[np.argmax(np.abs(y.astype(np.float64).reshape(-1)[_finite(y)]))]
    y.flat[at] = y.flat[at] * y.dtype.type(1.02)
    return y


NUMBERS: Mapping[str, Damage] = {
    "NaN in one element": _nan,
    "the greatest element 2 % greater": _element,
    "gain 0.5": lambda y: _as(y, y.astype(np.float64) * 0.5),
    "gain −1 %": lambda y: _as(y, y.astype(np.float64) * 0.99),
    "white noise at −20 dB": _noise,
    "halves swapped": lambda y: np.roll(y, y.shape[-1] // 2, axis=-1),
    "zeros": np.zeros_like,
    "float64": lambda y: y.astype(np.float64),
    "one column fewer": lambda y: y[..., :-1],
    "sign": lambda y: _as(y, -y.astype(np.float64)),
}


def output_faults() -> Iterator[Fault]:
    """Each damage to every call of each method it fits."""
    for method in METHODS:
        damages = {**NUMBERS, **SOUND} if method.sound else NUMBERS
        for label, damage in damages.items():
            yield Fault(
                f"{method.name} output: {label}", "output", method.name,
                partial(_run, method=method.name, damage=damage),
            )  # fmt: skip


def _run(bench: Bench, method: str, damage: Damage) -> Trial:
    class Damaged(PortableExecutor):
        def call(self, name: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
            return [damage(y) for y in super().call(name, inputs, **options)]

    return Trial(bench.on_executor(method, Damaged))
