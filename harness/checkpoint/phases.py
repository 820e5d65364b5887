"""Phases of speech: what makes random weights speak for any text, and stop.

With plain random weights END competes with all other codes at every frame, and most texts end
before their first frame or never. Here every semantic code belongs to one of n phases. Its
embedding carries the direction of its phase, which the semantic head answers with the codes of
the same phase and of the next one, and in the last phase with END. So every text passes
through the phases in order, and how long it stays in each is its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint.config import END_AUDIO, N_SPECIAL_CODES
from harness.checkpoint.draws import hadamard_columns
from harness.checkpoint.presets import Preset

__all__ = ["add_phases"]

Float32 = NDArray[np.float32]

_OPENERS = [24, 25]
"""Tokens [AUDIO] and [BEGIN_AUDIO], one of which comes before the first frame."""

_CARRIED = 0.75
"""RMS of a phase's direction in an embedding."""

_NEXT, _SAME, _LAST = 6.0, 5.5, 10.0
"""Logits that a phase adds to the codes of the next phase and of its own, and the last to END."""


def add_phases(preset: Preset, name: str, runs: Iterator[Float32]) -> Iterator[Float32]:
    """The tensor `name` in `runs` of whole rows, with the phases added where it carries them."""
    amounts = _amounts(preset, name)
    if amounts is None:
        yield from runs
        return
    directions = hadamard_columns(
        preset.seed, "phases of speech", preset.decoder.dim, 1 + preset.n_phases
    ).T
    for values in runs:
        # No row has more than two amounts, of signs: each sum is rounded once, on any platform.
        added = amounts[: len(values)] @ directions
        values[: len(added)] += added
        amounts = amounts[len(values) :]
        yield values


def _amounts(preset: Preset, name: str) -> Float32 | None:
    """How much of each direction every row gets: of the opening, then of each phase."""
    codes = np.arange(preset.semantic_size)
    phases = codes % preset.n_phases
    amounts = np.zeros((N_SPECIAL_CODES + preset.semantic_size, 1 + preset.n_phases), np.float32)
    if name == "mm_audio_embeddings.tok_embeddings.weight":
        amounts[_OPENERS, 0] = _CARRIED
    elif name == "mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight":
        amounts[N_SPECIAL_CODES + codes, 1 + phases] = _CARRIED
    elif name == "acoustic_transformer.semantic_codebook_output.weight":
        # A final norm divides an embedding by the RMS of the residual stream, which grows with
        # every layer.
        scale = math.sqrt(2 + 2 * preset.decoder.n_layers) / _CARRIED / preset.decoder.dim
        amounts[N_SPECIAL_CODES + codes, phases] = _NEXT * scale
        amounts[N_SPECIAL_CODES + codes, 1 + phases] = _SAME * scale
        amounts[END_AUDIO, preset.n_phases] = _LAST * scale
    else:
        return None
    return amounts
