"""What upstream's runner writes for ``--trace_json``: the prompt, and the first frames' values.

Offline only. Of the up to three frames that it traces, a top logit is an id and its value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import InputError, brief, in_a_sentence
from harness.files import read_json

__all__ = ["HIDDEN", "Trace", "read_trace"]

HIDDEN = ("prefill_hidden", "frame0_hidden", "frame1_hidden")
"""Hidden states by the runner's names: after the prompt, before frame 0 (that is, after the seed
step), and before frame 1."""

_EMBED = "frame0_audio_embed"
_MOST = 1 << 20
"""Entries of a list: the longest is a hidden state or a prompt."""


@dataclass(frozen=True)
class Trace:
    """The values of one offline speech.

    Attributes
    ----------
    prompt
        Token ids, int64, shape (S,).
    vectors
        Name of `HIDDEN`, or ``frame0_audio_embed`` → float32, shape (dim,). After a frame that is
        END_AUDIO there are none.
    top_ids, top_logits
        For each frame, the greatest logits in descending order, shape (frames, 5).
    codes
        What each frame chose: int64, shape (frames,), the semantic code, END_AUDIO included.
    """

    prompt: Array
    vectors: Mapping[str, Array]
    top_ids: Array
    top_logits: Array
    codes: Array


def read_trace(path: Path) -> Trace:
    """The trace in a file that the runner wrote.

    Raises
    ------
    InputError
        The file is missing, no JSON, or of another form.
    """
    data = read_json(path, "trace")
    try:
        frames = data["frames"]
        tops = [frame["semantic_topk"] for frame in frames]
        return Trace(
            prompt=_integers(data["prompt_token_ids"]),
            vectors={name: _reals(data[name]) for name in (*HIDDEN, _EMBED) if name in data},
            top_ids=_integers([[entry["id"] for entry in top] for top in tops]),
            top_logits=_reals([[entry["logit"] for entry in top] for top in tops]),
            codes=_integers([frame["semantic_code"] for frame in frames]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else in_a_sentence(error)
        raise InputError(f"{path.name} is no trace of upstream's runner: {what}") from None


def _integers(values: Any) -> Array:
    array = np.array(values)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"expected integers, got {brief(values)}")
    return _bounded(array).astype(np.int64)


def _reals(values: Any) -> Array:
    """float32; the runner's JSON has null for what is not finite."""
    if isinstance(values, list) and any(value is None for value in values):
        values = [math.nan if value is None else value for value in values]
    array = np.array(values)
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError(f"expected numbers, got {brief(values)}")
    return _bounded(array).astype(np.float32)


def _bounded(array: Array) -> Array:
    if array.size > _MOST:
        raise ValueError(f"a list of {array.size:,} entries")
    return array
