"""Attention; where a constant mask rules most of it out, only what it leaves is computed.

MLX's CPU kernel computes every score and adds the mask: 31 ms for 8 heads of 512 × 512, of which
the codec's layers look back at 16 positions. See `exponentials` for the other half of its time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import ExecutionError
from harness.pte.payload import Node
from harness.runtime.portable.blas import mx
from harness.runtime.portable.exponentials import MANY, softmax
from harness.runtime.portable.products import product
from harness.runtime.portable.slots import INT32_MAX, INT32_MIN, Slots, warn_oddity
from harness.runtime.portable.tensors import mlx_dtype

__all__ = ["OPS", "Band", "added", "attend", "specialised"]

_BLOCK = 64  # queries that look at the same keys
_LARGEST = 3.4e38
_LEAST = float(np.finfo(np.float32).min)
"""What MLX puts in place of a score that a mask of truth values rules out."""


def _sdpa(n: Node, s: Slots, band: Band | None = None) -> Any:
    q, k, v = s.tensor(n.q), s.tensor(n.k), s.tensor(n.v)
    mask = s.optional(n.mask)
    if n.causal and mask is not None:
        raise ExecutionError("attention has both a causal mode and a mask, which native refuses")
    if mask is not None and mask.dtype not in (mx.bool_, q.dtype):
        mask = mask.astype(q.dtype)
    mask = "causal" if n.causal else mask
    if s.fp32_weights is not None:
        found = attend(q, k, v, n.scale, mask, band)
        if found is not None:
            return found
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=n.scale, mask=mask)


@dataclass(frozen=True)
class Band:
    """The keys that a mask leaves to each block of queries."""

    begins: tuple[int, ...]  # first key of each block's
    width: int  # how many keys a block looks at
    mask: Any  # what is added to their scores, of shape (…, blocks, `_BLOCK`, width)

    @classmethod
    def of(cls, mask: Any) -> Band | None:
        """The band of a mask (…, queries, keys); None where it saves less than half of the work."""
        queries, keys = mask.shape[-2:]
        if mask.ndim != 4 or mask.shape[0] != 1 or min(queries, keys) < 2 * _BLOCK:
            return None
        addend: Any = np.array(added(mask), copy=False)
        least = _LEAST if mask.dtype == mx.bool_ else -math.inf
        seen: Any = (addend > least).any(axis=(0, 1))
        if np.isnan(addend).any() or not seen.any(axis=1).all():
            return None
        first, last = seen.argmax(axis=1), keys - seen[:, ::-1].argmax(axis=1)
        starts = range(0, queries, _BLOCK)
        begins = [int(first[start : start + _BLOCK].min()) for start in starts]
        ends = [int(last[start : start + _BLOCK].max()) for start in starts]
        width = max(end - begin for begin, end in zip(begins, ends, strict=True))
        if 2 * width > keys:
            return None
        begins = [min(begin, keys - width) for begin in begins]
        rows = np.pad(addend, [(0, 0), (0, 0), (0, -queries % _BLOCK), (0, 0)])
        tiles = [
            rows[..., start : start + _BLOCK, begin : begin + width]
            for start, begin in zip(starts, begins, strict=True)
        ]
        return cls(tuple(begins), width, mx.array(np.stack(tiles, axis=2)))


def specialised(mask: Any) -> Any:
    """The function of an attention node whose mask is the same in every call."""
    band = Band.of(mask)
    return None if band is None else lambda n, s: _sdpa(n, s, band)


def attend(q: Any, k: Any, v: Any, scale: float, mask: Any, band: Band | None = None) -> Any:
    """Attention in float32, over the keys that `band` leaves to each block of queries.

    What is left out has a probability of exactly 0, so that only the order of sums can differ.
    `q`, `k` and `v` are (batch, heads, positions, dim). None where MLX's own kernel is as fast,
    refuses, or a score might not be finite: what the mask rules out would show then all the same.
    """
    if q.ndim != 4 or k.ndim != 4 or v.shape[:3] != k.shape[:3] or k.shape[3] != q.shape[3]:
        return None
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    if heads % k.shape[1] or q.shape[0] * heads * queries * keys < MANY:
        return None
    dtype = q.dtype
    q, k, v = (t.astype(mx.float32) for t in (q, k, v))
    if k.shape[1] != heads:
        k, v = (mx.repeat(t, heads // k.shape[1], axis=1) for t in (k, v))
    largest = mx.max(mx.abs(q)) * mx.max(mx.abs(k)) * (scale * q.shape[-1]) + mx.max(mx.abs(v))
    if band is None:
        scores = product(q * scale, mx.swapaxes(k, -1, -2))
        scores = scores if mask is None else scores + added(mask, queries, keys)
    else:
        pad = -queries % _BLOCK
        q = mx.pad(q, [(0, 0), (0, 0), (0, pad), (0, 0)]) if pad else q
        q = q.reshape(*q.shape[:2], -1, _BLOCK, q.shape[3])
        k, v = (
            mx.stack([t[:, :, begin : begin + band.width] for begin in band.begins], axis=2)
            for t in (k, v)
        )
        scores = product(q * scale, mx.swapaxes(k, -1, -2)) + band.mask
    mx.eval(scores, largest)
    if not largest.item() < _LARGEST:  # NaN is not
        return None
    out = product(softmax(scores), v)
    if band is not None:
        out = out.reshape(*out.shape[:2], -1, out.shape[-1])[:, :, :queries]
    return out.astype(dtype)


def added(mask: Any, queries: int = 0, keys: int = 0) -> Any:
    """A mask as what is added to the scores, in float32."""
    if isinstance(mask, str):
        mask = mx.tri(queries, keys, keys - queries, dtype=mx.bool_)
    if mask.dtype == mx.bool_:
        return mx.where(mask, mx.array(0.0), mx.array(_LEAST))
    return mask.astype(mx.float32)


def _update_and_attend(n: Node, s: Slots) -> Any:
    if s.cache is None:
        raise ExecutionError("no KV cache is installed: the host program has to bring one")
    if n.layer_id is None or n.scale is None:
        raise ExecutionError("layer_id or scale is not set")
    q = s.tensor(n.q)
    keys, values, mask = s.cache.update_and_fetch(
        n.layer_id, _position(s.tensor(n.position), s.faithful), s.tensor(n.k), s.tensor(n.v)
    )
    # The cache's precision may be another than the computation's, which is the query's.
    out = mx.fast.scaled_dot_product_attention(
        q, keys.astype(q.dtype), values.astype(q.dtype), scale=s.real(n.scale), mask=mask
    )
    return out if n.out_dtype is None else out.astype(mlx_dtype(n.out_dtype))


def _position(tensor: Any, faithful: bool) -> int:
    """The first of the step's positions."""
    if tensor.dtype not in (mx.int32, mx.int64):
        raise ExecutionError(f"position must be int32 or int64, got {tensor.dtype}")
    if tensor.size == 0:
        raise ExecutionError("position is empty")
    position = int(tensor.reshape(-1)[0].item())
    if INT32_MIN <= position <= INT32_MAX:
        return position
    if not faithful:
        raise ExecutionError(
            f"position {position} does not fit 32 bits: native would silently truncate it"
        )
    truncated = (position + 2**31) % 2**32 - 2**31
    warn_oddity(f"position {position} is truncated to {truncated}")
    return truncated


OPS = {"SdpaNode": _sdpa, "UpdateAndAttendNode": _update_and_attend}
