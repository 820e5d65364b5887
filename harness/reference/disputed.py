"""Upstream's codec under another implementation's semantics: other modules, the same weights."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.checkpoint.loading import around_the_same_weights
from harness.reference.semantics import EXECUTORCH, Semantics

__all__ = ["codec_under"]


def codec_under(codec: Any, semantics: Semantics) -> Any:
    """Upstream's ``CodecDecoder`` as `semantics` has it.

    `codec` itself stays as it is, since it may be exported, and is what `EXECUTORCH` gets.
    """
    if all(
        getattr(semantics, name) == getattr(EXECUTORCH, name)
        for name in ("alibi", "window", "padding", "specials")
    ):
        return codec
    twin = around_the_same_weights(codec)
    twin.decoder_blocks[0].pad_mode = semantics.padding
    for module in twin.modules():
        if hasattr(module, "alibi_slopes"):
            if semantics.alibi != EXECUTORCH.alibi:
                slopes = _slopes(module.n_heads, semantics.alibi)
                module.alibi_slopes = slopes.to(module.alibi_slopes.dtype)
            module.sliding_window += semantics.window - EXECUTORCH.window
    if semantics.specials != EXECUTORCH.specials:
        twin.forward = partial(_keeping_specials, twin)
    return twin


def _slopes(heads: int, first: int) -> Tensor:
    """Slopes of `heads` heads, the first with the power `first`; float64.

    Heads beyond a power of two take every other slope of twice as many.
    """
    whole = 2 ** int(math.log2(heads))
    powers = [(head + first) / whole for head in range(whole)]
    powers += [(2 * head + first) / (2 * whole) for head in range(heads - whole)]
    return 2.0 ** (-8.0 * torch.tensor(powers, dtype=torch.float64))


def _keeping_specials(codec: Any, codes: Tensor) -> Tensor:
    """The codec on codes of which the special ones become −2 and −1, not 0.

    A semantic code below 0 counts from the end of its table, as in MLX; torch has no such row.
    """
    quantizer, plain = codec.quantizer, codes - 2

    def decode(_zeroed: Tensor, dtype: torch.dtype) -> Tensor:
        rows = quantizer.semantic_codebook.embedding.shape[0]
        semantic = quantizer.semantic_codebook.decode(plain[:, :1] % rows).to(dtype)
        acoustic = quantizer.acoustic_codebook.decode(plain[:, 1:], dtype)
        return torch.cat([semantic, acoustic], dim=1)

    quantizer.decode = decode
    return type(codec).forward(codec, codes)
