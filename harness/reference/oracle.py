"""The same model in float64, so that rounding has an arbiter.

Upstream's modules are used as they are, but for the places that work in float32 whatever the
model's type: the fused KV-cache and attention operators, the rotary angles, and the cast of the
semantic logits.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from harness.checkpoint.loading import around_the_same_weights
from harness.reference.eager import EagerModel
from harness.reference.semantics import EXECUTORCH, Semantics

__all__ = ["dequantized", "exact_twin"]


def exact_twin(model: Any, semantics: Semantics = EXECUTORCH) -> EagerModel:
    """What `model` means: its own weights and tables, widened exactly, computed in float64.

    Weights stay where they are and are widened, or dequantised exactly, while a module computes,
    so that the twin takes the memory of one matrix. Angles of rotation, which the exported
    program computes by itself, are computed in float64.
    """
    twin = around_the_same_weights(model)
    # The codec's modules read each other's weights, and are few.
    twin.codec_decoder = copy.deepcopy(model.codec_decoder).double()
    for part in (twin.decoder, twin.audio_token_embedding, twin.flow_head):
        for module in part.modules():
            if module._parameters or module._buffers:
                module.register_forward_pre_hook(_widen)
                module.register_forward_hook(_restore)
    for layer in twin.decoder.layers:
        cache = layer.attention.kv_cache
        cache.k_cache, cache.v_cache = (
            torch.zeros_like(buffer, dtype=torch.float64)
            for buffer in (cache.k_cache, cache.v_cache)
        )
        layer.attention = _Attention(layer.attention, twin.config.rope_theta)
    flow = twin.flow_head
    flow._timesteps = flow._timesteps.double()
    flow.semantic_logits = _SemanticLogits(flow)
    return EagerModel(twin, semantics, torch.float64)


def _widen(module: nn.Module, _inputs: Any) -> None:
    """Put float64 in the place of a module's own tensors."""
    module._narrow = dict(module._parameters), dict(module._buffers)
    for own in (module._parameters, module._buffers):
        for name, tensor in own.items():
            if tensor is not None and tensor.is_floating_point():
                own[name] = _exactly(tensor)


def _restore(module: nn.Module, _inputs: Any, _output: Any) -> None:
    module._parameters, module._buffers = module._narrow
    del module._narrow


def _exactly(tensor: Tensor) -> Tensor:
    """A tensor in float64; (value − zero point) · scale of a quantised one, without rounding."""
    if not hasattr(tensor, "qdata"):
        return tensor.data.double()
    return dequantized(tensor.qdata, tensor.scale.double(), tensor.zero_point.double())


def dequantized(values: Tensor, scales: Tensor, zeros: Tensor | None) -> Tensor:
    """(value − zero point) · scale, one pair for each group along a row; float64."""
    grouped = values.double().reshape(*scales.shape, -1)
    grouped = grouped if zeros is None else grouped - zeros[..., None]
    return (grouped * scales[..., None]).reshape(values.shape)


class _Attention(nn.Module):
    """Causal grouped-query attention over a KV cache, with interleaved rotary positions.

    Parameters
    ----------
    source
        Upstream's attention, whose projections and cache buffers are taken over.
    theta
        Base of the rotary frequencies.
    """

    def __init__(self, source: Any, theta: float) -> None:
        super().__init__()
        self.wq, self.wk, self.wv, self.wo = source.wq, source.wk, source.wv, source.wo
        self.n_heads, self.n_kv_heads = source.n_heads, source.n_kv_heads
        self.head_dim, self.kv_cache = source.head_dim, source.kv_cache
        pairs = torch.arange(0, self.head_dim, 2, dtype=torch.float64)
        self.frequencies = theta ** -(pairs / self.head_dim)

    def forward(
        self, x: Tensor, _cos: Tensor, _sin: Tensor, positions: Tensor, _mask: None
    ) -> Tensor:
        """Attend from `x`, shape (1, S, dim), at `positions` (S,) to everything up to each."""
        length, start = x.shape[1], int(positions[0])
        end = start + length
        angles = torch.outer(positions.double(), self.frequencies)[:, None]  # (S, 1, head_dim / 2)
        q = _rotate(self.wq(x).view(length, self.n_heads, self.head_dim), angles)
        self.kv_cache.k_cache[0, start:end] = _rotate(
            self.wk(x).view(length, self.n_kv_heads, self.head_dim), angles
        )
        self.kv_cache.v_cache[0, start:end] = self.wv(x).view(
            length, self.n_kv_heads, self.head_dim
        )
        groups = self.n_heads // self.n_kv_heads
        k = self.kv_cache.k_cache[0, :end].repeat_interleave(groups, dim=1)
        v = self.kv_cache.v_cache[0, :end].repeat_interleave(groups, dim=1)
        scores = torch.einsum("shd,thd->hst", q, k) / math.sqrt(self.head_dim)
        future = torch.arange(end)[None, :] > positions[:, None]
        weights = scores.masked_fill(future, -math.inf).softmax(-1)
        return self.wo(torch.einsum("hst,thd->shd", weights, v).reshape(1, length, -1))


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each adjacent pair of `x`, shape (S, heads, head_dim), by its angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


class _SemanticLogits:
    """Masked semantic logits without the cast to float32."""

    def __init__(self, flow: Any) -> None:
        self._output = flow.semantic_codebook_output
        self._valid = flow.config.semantic_codebook_size + 2

    def __call__(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._output(hidden)
        logits[:, 0] = -math.inf  # EMPTY
        logits[:, self._valid :] = -math.inf  # padding to a multiple of 128
        return logits
