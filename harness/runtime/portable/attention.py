"""Attention; where a mask rules most of it out, only what it leaves is computed.

MLX's CPU kernel computes every score and then adds the mask. The codec's layers look back at 16
positions of up to 2048, and its softmax over the others is what the CPU spends its time on.
"""

from __future__ import annotations

import math
from typing import Any

from harness.errors import ExecutionError
from harness.pte.payload import Node
from harness.runtime.portable.blas import mx
from harness.runtime.portable.slots import Slots

__all__ = ["OPS", "banded"]

_BLOCK = 128
"""Positions that are decided on together."""

_LARGEST = 3.4e38  # of float32


def _sdpa(n: Node, s: Slots) -> Any:
    q, k, v = s.tensor(n.q), s.tensor(n.k), s.tensor(n.v)
    mask = s.optional(n.mask)
    if n.causal and mask is not None:
        raise ExecutionError("attention has both a causal mode and a mask, which native refuses")
    if mask is not None and mask.dtype not in (mx.bool_, q.dtype):
        mask = mask.astype(q.dtype)
    if s.wide is not None and mask is not None:
        found = banded(q, k, v, n.scale, mask)
        if found is not None:
            return found
    return _attend(q, k, v, n.scale, "causal" if n.causal else mask)


def _attend(q: Any, k: Any, v: Any, scale: float, mask: Any) -> Any:
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)


def banded(q: Any, k: Any, v: Any, scale: float, mask: Any) -> Any | None:
    """Attention block by block of queries, over the keys that `mask` leaves to each.

    What is left out has a probability of exactly 0, so that only the order of sums can differ.

    Parameters
    ----------
    q, k, v
        Shapes (batch, heads, queries, dim), (batch, kv heads, keys, dim) and the like of `k`.
    scale
        Of the scores.
    mask
        True where a key is seen, or what is added to a score; it broadcasts to
        (batch, heads, queries, keys).

    Returns
    -------
    mx.array or None
        None where that saves less than half of the work, or a score might not be finite: what
        the mask rules out would show then all the same.
    """
    queries, keys = q.shape[-2], k.shape[-2]
    blocks = -(-queries // _BLOCK)
    if mask.shape[-2:] != (queries, keys) or min(queries, keys) < 4 * _BLOCK:
        return None
    seen = mask if mask.dtype == mx.bool_ else mask > -math.inf
    seen = mx.any(seen.reshape(-1, queries, keys), axis=0)
    pad = [(0, -queries % _BLOCK), (0, -keys % _BLOCK)]
    tiles = mx.pad(seen, pad).reshape(blocks, _BLOCK, -1, _BLOCK)
    tiles = mx.any(tiles, axis=(1, 3))
    largest = mx.max(mx.abs(q)) * mx.max(mx.abs(k)) * (scale * q.shape[-1]) + mx.max(mx.abs(v))
    mx.eval(tiles, largest)
    if not largest.item() < _LARGEST:  # NaN is not
        return None
    spans = []
    for row in tiles.tolist():
        columns = [column for column, used in enumerate(row) if used]
        if not columns:
            return None  # NaN throughout, which is left to the kernel
        spans.append((columns[0] * _BLOCK, min(keys, (columns[-1] + 1) * _BLOCK)))
    if sum(end - begin for begin, end in spans) * 2 > blocks * keys:
        return None
    parts = []
    for block, (begin, end) in enumerate(spans):
        rows = slice(block * _BLOCK, min(queries, (block + 1) * _BLOCK))
        near = k[..., begin:end, :], v[..., begin:end, :]
        parts.append(_attend(q[..., rows, :], *near, scale, mask[..., rows, begin:end]))
    return mx.concatenate(parts, axis=-2)


OPS = {"SdpaNode": _sdpa}
