"""Random weights that make a live model, tensor by tensor.

A model of plain Gaussians is dead: attention is uniform, codes are clipped noise and the
codec is silent or saturated, so that most faults would not show. The gains below were found
by measuring: hidden states of order 1, a new semantic code nearly every frame, acoustic codes
on all 21 levels, an END that occurs, a waveform that peaks between 0.1 and 0.9.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint.config import N_SPECIAL_CODES
from harness.checkpoint.draws import (
    from_bfloat16_bits,
    hadamard_columns,
    normal,
    to_bfloat16_bits,
    uniform,
)
from harness.checkpoint.phases import add_phases
from harness.checkpoint.presets import Preset

__all__ = ["tensor_bits"]

Bits = NDArray[np.uint16]
Values = NDArray[np.float32]

_SQRT2, _SQRT3 = math.sqrt(2), math.sqrt(3)

_USAGE = "audio_tokenizer.quantizer.semantic_codebook.cluster_usage"


@dataclass(frozen=True)
class _Matrix:
    """Mean 0, standard deviation gain / √fan_in: an input of RMS 1 comes out with RMS gain."""

    gain: float = 1.0


@dataclass(frozen=True)
class _Vector:
    """A scale per channel: `mean` with a relative `spread`, so that a lost one shows."""

    mean: float = 1.0
    spread: float = 0.1


# Published tensor name (a full match) to what it holds; the first match counts.
_RULES: tuple[tuple[str, _Matrix | _Vector], ...] = (
    # Language model and flow-matching head. wo at 2.0, because at 0.7 attention faults drown in the
    # residual stream.
    (r"(acoustic_transformer\.)?layers\.\d+\.attention\.w[qk]\.weight", _Matrix(1.5)),
    (r"(acoustic_transformer\.)?layers\.\d+\.attention\.wv\.weight", _Matrix(1.0)),
    (r"(acoustic_transformer\.)?layers\.\d+\.attention\.wo\.weight", _Matrix(2.0)),
    (r"layers\.\d+\.feed_forward\.w[13]\.weight", _Matrix(1.0)),
    (r"layers\.\d+\.feed_forward\.w2\.weight", _Matrix(1.4)),
    (r"acoustic_transformer\.layers\.\d+\.feed_forward\.w[13]\.weight", _Matrix(1.5)),
    (r"acoustic_transformer\.layers\.\d+\.feed_forward\.w2\.weight", _Matrix(0.7)),
    (r"acoustic_transformer\.time_projection\.weight", _Matrix(1.0)),
    (r"acoustic_transformer\.llm_projection\.weight", _Matrix(2.0)),
    (r"acoustic_transformer\.semantic_codebook_output\.weight", _Matrix(2.0)),
    # Codec. A transposed convolution of stride 2 and kernel 4 adds two taps of each row of
    # length √2 √(in/out): RMS 1 stays RMS 1. The last gain sets the waveform's peak.
    (r"audio_tokenizer\.decoder_blocks\.0\.conv\..*original0", _Vector(1.0)),
    (r"audio_tokenizer\.decoder_blocks\.\d+\.conv\..*original0", _Vector(_SQRT2)),
    (r"audio_tokenizer\.output_proj\.conv\..*original0", _Vector(0.08)),
    (r"audio_tokenizer\..*\.conv\..*original1", _Matrix(1.0)),
    (r"audio_tokenizer\..*\.feed_forward\.w2\.weight", _Matrix(1.4)),
    (r"audio_tokenizer\..*\.[qk]_norm\.weight", _Vector(_SQRT3)),
    (r"audio_tokenizer\..*_scale", _Vector(0.5, spread=0.3)),
    (r"audio_tokenizer\..*\.(attention|feed_forward)\.w[qkvo123]\.weight", _Matrix(1.0)),
    (r".*norm\.weight", _Vector(1.0)),
)


def tensor_bits(preset: Preset, name: str, shape: tuple[int, ...]) -> Iterator[Bits]:
    """The bfloat16 bits of the tensor of that published name, in runs of whole rows."""
    for values in add_phases(preset, name, _values(preset, name, shape)):
        yield to_bfloat16_bits(values)


def _values(preset: Preset, name: str, shape: tuple[int, ...]) -> Iterator[Values]:
    seed = preset.seed
    if name == "mm_audio_embeddings.tok_embeddings.weight":
        yield from normal(seed, name, shape, 1.0)
    elif name == "mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight":
        yield from _audio_embedding(preset, name, shape)
    elif name == "acoustic_transformer.input_projection.weight":
        # Q has orthonormal columns, so noise of RMS 1 in 36 dimensions enters with RMS 2.
        yield _flow_basis(preset, *shape) * np.float32(2 / math.sqrt(shape[1]))
    elif name == "acoustic_transformer.acoustic_codebook_output.weight":
        yield from _velocity(preset, name, shape)
    elif name == _USAGE:
        yield uniform(seed, name, shape[0], 0.5, 20.5)
    elif name == "audio_tokenizer.quantizer.semantic_codebook.embedding_sum":
        yield from _codebook_sum(preset, name, shape)
    else:
        yield from _by_rule(seed, name, shape)


def _by_rule(seed: int, name: str, shape: tuple[int, ...]) -> Iterator[Values]:
    rule = next((rule for pattern, rule in _RULES if re.fullmatch(pattern, name)), None)
    if rule is None:
        raise ValueError(f"no rule says how to fill {name}")
    if isinstance(rule, _Matrix):
        yield from normal(seed, name, shape, rule.gain / math.sqrt(math.prod(shape[1:])))
    else:
        mean = np.float32(rule.mean)
        for values in normal(seed, name, shape, rule.mean * rule.spread):
            yield values + mean


def _audio_embedding(preset: Preset, name: str, shape: tuple[int, ...]) -> Iterator[Values]:
    """Rows whose sum over a frame's 37 codes has RMS of order 1, the semantic one loudest."""
    semantic_rows = preset.semantic_size + N_SPECIAL_CODES
    for values in normal(preset.seed, name, shape, 1 / math.sqrt(37)):
        values[:semantic_rows] *= np.float32(4)
        yield values
        semantic_rows = max(0, semantic_rows - len(values))


def _flow_basis(preset: Preset, dim: int, acoustic_dim: int) -> Values:
    """Signs of Q·√dim: the directions in which the flow head carries the acoustic state."""
    return hadamard_columns(preset.seed, "acoustic_transformer basis", dim, acoustic_dim)


def _velocity(preset: Preset, name: str, shape: tuple[int, ...]) -> Iterator[Values]:
    """0.5·random − 4·Qᵀ·√(36/dim): the flow pulls the noise back, and the rest decides where.

    With a plain Gaussian here, codes were 94 % noise and 40 % of them clipped.
    """
    acoustic_dim, dim = shape
    pull = _flow_basis(preset, dim, acoustic_dim).T * np.float32(4 * math.sqrt(acoustic_dim) / dim)
    for values in normal(preset.seed, name, shape, 0.5 / math.sqrt(dim)):
        yield values - pull[: len(values)]
        pull = pull[len(values) :]


def _codebook_sum(preset: Preset, name: str, shape: tuple[int, ...]) -> Iterator[Values]:
    """Sums over each cluster: the loader divides by the usage that is stored as bfloat16."""
    stored = to_bfloat16_bits(uniform(preset.seed, _USAGE, shape[0], 0.5, 20.5))
    usage = from_bfloat16_bits(stored)[:, None]
    for values in normal(preset.seed, name, shape, 0.6):
        yield values * usage[: len(values)]
        usage = usage[len(values) :]
