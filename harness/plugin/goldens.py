"""Reviewed statistics beside a test file: ``goldens/<test file>/<test>.json``.

A file says which test made it, why, when, and why each version before it was made.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import Array, from_torch
from harness.compare import statistics, words
from harness.compare.sound import WaveformStatistics
from harness.errors import InputError, in_a_sentence
from harness.files import read_json, replace_file
from harness.golden.judge import DRIFT, moved
from harness.golden.pins import Pin
from harness.golden.store import unusable
from harness.values import decode, encode

__all__ = ["Audio", "Tensor", "judge"]

_FORMAT, _VERSION = "voxtral-parity test golden", 1


@dataclass(frozen=True)
class Tensor:
    """What is kept of a tensor: its type, shape, and a few numbers that any element moves.

    `rtol` is how far the RMS, a sum or an element may move, over the RMS.
    """

    dtype: str
    shape: tuple[int, ...]
    pin: Pin
    rtol: float

    @classmethod
    def of(cls, value: Any, rtol: float) -> Tensor:
        """Of a torch tensor or whatever numpy takes."""
        array = _array(value)
        if not 0 <= rtol < math.inf:
            raise InputError(f"rtol must be 0 or more (got {rtol})")
        if wrong := int((~np.isfinite(array)).sum()):
            raise InputError(
                f"a golden is of finite numbers ({words.count(wrong, 'element')} of "
                f"{array.size:,} are not): fill them in first"
            )
        return cls(array.dtype.name, array.shape, Pin.of([array]), rtol)

    def troubles(self, new: Tensor) -> list[str]:
        """How `new` differs, one sentence each."""
        if (self.dtype, self.shape) != (new.dtype, new.shape):
            old, now = (f"{t.dtype} {words.shape(t.shape)}" for t in (self, new))
            return [f"expected {old}, got {now}"]
        gaps = zip(("the RMS", "an element or a sum"), self.pin.moved(new.pin), strict=True)
        return [
            f"{what} moved by {words.number(gap)} of the RMS, up to {words.number(self.rtol)} "
            f"allowed (RMS {self.pin.rms:.6g} then, {new.pin.rms:.6g} now)"
            for what, gap in gaps
            if not gap <= self.rtol
        ]


@dataclass(frozen=True)
class Audio:
    """What is kept of a sound; each statistic may move by what `harness.golden` allows in fp32."""

    statistics: WaveformStatistics

    @classmethod
    def of(cls, value: Any, sample_rate: int) -> Audio:
        """Of a mono waveform, float with full scale ±1, or 16-bit codes."""
        found = statistics(_array(value), sample_rate, frames=1)
        if fault := unusable(found):
            raise InputError(f"the sound cannot be judged: {fault}")
        return cls(found)

    def troubles(self, new: Audio) -> list[str]:
        """How `new` differs, one sentence each."""
        rows = moved(self.statistics, new.statistics, DRIFT["fp32"])
        return [str(row) for row in rows if not row.gate.passed]


_KINDS: Mapping[str, type[Tensor] | type[Audio]] = {"tensor": Tensor, "audio": Audio}


def judge(path: Path, made: Tensor | Audio, test: str, update: bool, reason: str) -> list[str]:
    """Compare what a test made with what is kept of it; in words what differs.

    Parameters
    ----------
    path, test
        The file, and the node id of the test.
    made
        What the test made.
    update, reason
        Whether to write what is missing or differs, and why.

    Raises
    ------
    InputError
        The file is damaged.
    """
    kept, history = _read(path) if path.is_file() else (None, [])
    if kept is None:
        troubles = [f"there is no golden {path.parent.name}/{path.name}"]
    elif type(kept) is not type(made):
        troubles = [f"golden {path.name} is of another kind: {type(kept).__name__.lower()}"]
    else:
        troubles = [f"golden {path.name}: {text}" for text in kept.troubles(made)]  # type: ignore[arg-type]
    if not troubles or not update:
        return troubles
    _write(path, made, test, [*history, {"date": _today(), "reason": reason}])
    return []


def _read(path: Path) -> tuple[Tensor | Audio, list[Any]]:
    try:
        data = read_json(path, "golden")
        if (data["format"], data["version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"expected format {_FORMAT!r} version {_VERSION}")
        kept: Tensor | Audio = decode(data["value"], _KINDS[data["kind"]])
        return kept, list(data["history"])
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(
            f"the golden {path} is damaged ({in_a_sentence(error)}); restore it from version "
            "control"
        ) from None


def _write(path: Path, made: Tensor | Audio, test: str, history: list[Any]) -> None:
    kind = next(name for name, form in _KINDS.items() if isinstance(made, form))
    data = {
        "format": _FORMAT,
        "version": _VERSION,
        "test": test,
        "kind": kind,
        "value": encode(made),
        "history": history,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as scratch:
        text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
        scratch.write_text(text + "\n", encoding="utf-8")


def _array(value: Any) -> Array:
    if hasattr(value, "detach"):
        value = from_torch(value.detach().cpu())
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise InputError(f"a golden is of numbers (got {array.dtype})")
    if not array.size:
        raise InputError("a golden needs at least one element")
    return array


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
