"""`text_decoder` as a module whose graph the MLX delegate can hold whole.

The other methods of `model.pte` are upstream's own wrappers. Its wrapper of the decoder calls
`llama.update_cache` and `llama.custom_sdpa`, which are not delegated, so the same attention is
written here with the delegate's own operators. Weights are shared with the eager model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.upstream import enable_mlx_exporter

__all__ = ["TextDecoder"]


class TextDecoder(nn.Module):
    """Embeddings (1, S, dim) and positions (S,) → hidden states (1, S, dim), with a KV cache.

    The cache holds one (1, n_kv_heads, max_seq_len, head_dim) buffer for keys and one for
    values a layer, zero at first. Only the first position is read; the S tokens follow it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        enable_mlx_exporter()
        import executorch.backends.mlx.custom_ops  # noqa: F401  registers torch.ops.mlx

        config = model.config
        self.layers = nn.ModuleList(_DecoderLayer(layer, config) for layer in model.decoder.layers)
        self.norm = model.decoder.norm

    def forward(self, input_embeds: torch.Tensor, cache_position: torch.Tensor) -> torch.Tensor:
        """Run the decoder over S new tokens."""
        start: int = cache_position[0].item()
        torch._check(start >= 0)
        x = input_embeds
        for layer in self.layers:
            x = layer(x, start)
        return self.norm(x)


class _DecoderLayer(nn.Module):
    def __init__(self, layer: Any, config: Any) -> None:
        super().__init__()
        self.attention_norm = layer.attention_norm
        self.attention = _Attention(layer.attention, config)
        self.ffn_norm = layer.ffn_norm
        self.feed_forward = layer.feed_forward

    def forward(self, x: torch.Tensor, start: int) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), start)
        return x + self.feed_forward(self.ffn_norm(x))


class _Attention(nn.Module):
    """Grouped-query attention with interleaved RoPE, in the delegate's own operators."""

    def __init__(self, attention: Any, config: Any) -> None:
        super().__init__()
        self.wq, self.wk, self.wv, self.wo = attention.wq, attention.wk, attention.wv, attention.wo
        self.n_heads = config.n_heads
        self.n_kv_heads = config.n_kv_heads
        self.head_dim = config.head_dim
        self.max_seq_len = config.max_seq_len
        self.rope_theta = float(config.rope_theta)
        cache = torch.zeros(
            1, self.n_kv_heads, self.max_seq_len, self.head_dim, dtype=attention.wk.weight.dtype
        )
        self.register_buffer("k_cache", cache)
        self.register_buffer("v_cache", cache.clone())

    def forward(self, x: torch.Tensor, start: int) -> torch.Tensor:
        length = x.shape[1]
        torch._check(start + length <= self.max_seq_len)
        q = self._rope(self._heads(self.wq(x), self.n_heads), start)
        k = self._rope(self._heads(self.wk(x), self.n_kv_heads), start)
        v = self._heads(self.wv(x), self.n_kv_heads)
        # A slice, not the buffer itself: a method may not return its own mutable buffer, and
        # the delegate's pattern needs the update to have a reader.
        keys = self._write(self.k_cache, k, start)
        values = self._write(self.v_cache, v, start)
        y = self._attend(q, keys, values, start)
        return self.wo(y.transpose(1, 2).reshape(1, length, self.n_heads * self.head_dim))

    def _heads(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        """(1, S, heads·head_dim) → (1, heads, S, head_dim)."""
        return x.view(1, x.shape[1], heads, self.head_dim).transpose(1, 2)

    def _rope(self, x: torch.Tensor, start: int) -> torch.Tensor:
        # `traditional` is MLX's word for rotating adjacent pairs, mistral's convention
        return torch.ops.mlx.rope(x, self.head_dim, start, True, self.rope_theta, 1.0, None)

    def _attend(
        self, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, start: int
    ) -> torch.Tensor:
        """Causal over the first ``start + S`` slots; the operator repeats the shared heads."""
        return torch.ops.mlx.custom_sdpa(q, keys, values, start, None, 0.0, True, None)

    def _write(self, cache: torch.Tensor, new: torch.Tensor, start: int) -> torch.Tensor:
        torch.ops.mlx.kv_cache_update(cache, new, start)
        return cache[:, :, : self.max_seq_len, :]
