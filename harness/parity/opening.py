"""What a model computes up to its third frame, call by call: what a runner's trace is held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.arrays import Array

__all__ = ["Opening", "opening_of"]

_FRAMES = 3
"""Frames that upstream's runner traces."""


@dataclass(frozen=True)
class Opening:
    """Values along given codes.

    Attributes
    ----------
    prompts
        Decoder calls before the first frame: the prompt, and the seed step if there is one.
    hidden
        Last hidden state of each decoder call, float32, shape (calls, dim).
    embeds
        Embeddings of the frames' codes, float32, shape (frames, dim).
    logits
        float32, shape (frames, padded_semantic).
    """

    prompts: int
    hidden: Array
    embeds: Array
    logits: Array


def opening_of(outputs: Callable[[str], Sequence[Array]]) -> Opening:
    """Of a speech; `outputs` gives a method's outputs in the order of its calls."""
    prompts = len(outputs("token_embedding"))
    return Opening(
        prompts,
        _stack([y[0, -1] for y in outputs("text_decoder")[: prompts + _FRAMES]]),
        _stack([y.reshape(-1) for y in outputs("audio_token_embedding")[:_FRAMES]]),
        _stack([y.reshape(-1) for y in outputs("semantic_head")[:_FRAMES]]),
    )


def _stack(rows: Sequence[Array]) -> Array:
    return np.array([row.astype(np.float32) for row in rows], np.float32)
