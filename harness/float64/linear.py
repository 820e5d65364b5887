"""Nodes that multiply: linear layers, quantised ones, convolutions, norms, rotations, attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from harness.arrays import Array
from harness.errors import UnsupportedError
from harness.float64.elementwise import softmax
from harness.float64.slots import Slots
from harness.pte.payload import Node, Tid

__all__ = ["OPS", "attention", "attention_by_scale", "dequantized", "heads_repeated"]

_NUMBERS: dict[str, tuple[Any, Any]] = {
    "mxfp4": (ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu),
    "mxfp8": (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu),
    "nvfp4": (ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn),
}
"""Quantisation mode → what its values and its scales are in, an octet each once unpacked."""


def _addmm(n: Node, s: Slots) -> Array:
    product = np.matmul(s.tensor(n.mat1), s.tensor(n.mat2))
    bias = s.optional(n.bias)
    # Upstream applies alpha only together with a bias.
    return product if bias is None else n.beta * bias + n.alpha * product


def dequantized(n: Node, s: Slots) -> Array:
    """Unpacked weights, scale · value + bias exactly; shape (…, rows, columns)."""
    if n.mode != "affine" and n.mode not in _NUMBERS:
        raise UnsupportedError(f"weights quantised as {n.mode} have no float64 semantics")
    parts = (n.w, n.scales, n.biases)
    key = ("dequantized", *(tid and tid.idx for tid in parts), n.mode, n.bits, n.group_size)
    if all(s.is_constant(tid) for tid in parts):
        return s.kept.get(s.key(key), lambda: _dequantized(n, s))
    return _dequantized(n, s)


def _dequantized(n: Node, s: Slots) -> Array:
    values, scales = _unpacked(s.tensor(n.w), n.bits), s.tensor(n.scales)
    biases = s.optional(n.biases)
    if n.mode in _NUMBERS:
        value, scale = _NUMBERS[n.mode]
        values, scales = values.view(value), scales.view(scale).astype(np.float64)
    values = values.astype(np.float64)
    grouped = values.reshape(*scales.shape, n.group_size) * scales[..., None]
    if biases is not None:
        grouped += biases[..., None]
    return grouped.reshape(values.shape)


def _unpacked(words: Array, bits: int) -> Array:
    """The `bits`-wide unsigned numbers of a little-endian stream of 32-bit words."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return octets
    if bits == 4:
        return np.stack([octets & 15, octets >> 4], -1).reshape(*octets.shape[:-1], -1)
    stream = np.unpackbits(octets, axis=-1, bitorder="little")
    digits = stream.reshape(*stream.shape[:-1], -1, bits)
    return np.asarray(digits @ (1 << np.arange(bits)))


def _quantized_matmul(n: Node, s: Slots) -> Array:
    weight = dequantized(n, s)
    x = s.tensor(n.x)
    return np.matmul(x, weight.swapaxes(-1, -2) if n.transpose else weight)


def _gathered(n: Node, s: Slots, left: Array, right: Array) -> Array:
    """Products of matrices chosen from two stacks."""

    def chosen(tid: Tid | None, stack: Array) -> Array:
        flat = stack.reshape(-1, *stack.shape[-2:])
        if tid is None:
            return flat.reshape(stack.shape)
        return flat[s.tensor(tid).astype(np.int64)]

    return np.matmul(chosen(n.lhs_indices, left), chosen(n.rhs_indices, right))


def _gather_qmm(n: Node, s: Slots) -> Array:
    weight = dequantized(n, s)
    return _gathered(n, s, s.tensor(n.x), weight.swapaxes(-1, -2) if n.transpose else weight)


def _spatial(n: Node, kind: str, letters: str) -> tuple[int, ...]:
    if not letters:
        return (getattr(n, kind),)
    return tuple(getattr(n, f"{kind}_{letter}") for letter in letters)


def _taps(n: Node, weight: Array, letters: str) -> Any:
    """Each tap of a kernel: its offset along each axis, and its matrix (c_out, c_in / groups)."""
    dilation = _spatial(n, "dilation", letters)
    for tap in np.ndindex(*weight.shape[1:-1]):
        yield [t * d for t, d in zip(tap, dilation, strict=True)], weight[(slice(None), *tap)]


def _by_groups(x: Array, matrix: Array, groups: int) -> Array:
    """`x` (…, c_in) times `matrix` (c_out, c_in / groups), group by group."""
    if groups == 1:
        return np.matmul(x, matrix.T)
    parts = zip(np.split(x, groups, -1), np.split(matrix, groups, 0), strict=True)
    return np.concatenate([np.matmul(part, rows.T) for part, rows in parts], -1)


def _conv(letters: str) -> Callable[[Node, Slots], Array]:
    """A convolution; x is (batch, *sizes, c_in), the weight (c_out, *taps, c_in / groups)."""

    def op(n: Node, s: Slots) -> Array:
        x, weight = s.tensor(n.x), s.tensor(n.w)
        pads = [(0, 0), *((p, p) for p in _spatial(n, "padding", letters)), (0, 0)]
        stride, dilation = (_spatial(n, kind, letters) for kind in ("stride", "dilation"))
        x = np.pad(x, pads)
        sizes = [
            (size - d * (taps - 1) - 1) // step + 1
            for size, d, taps, step in zip(
                x.shape[1:-1], dilation, weight.shape[1:-1], stride, strict=True
            )
        ]
        out = np.zeros((x.shape[0], *sizes, weight.shape[0]))
        for offsets, matrix in _taps(n, weight, letters):
            window = (
                slice(o, o + step * (size - 1) + 1, step)
                for o, step, size in zip(offsets, stride, sizes, strict=True)
            )
            out += _by_groups(x[(slice(None), *window)], matrix, n.groups)
        return out

    return op


def _conv_transpose(letters: str) -> Callable[[Node, Slots], Array]:
    """A transposed convolution, shapes as in `_conv`: taps are added where they overlap."""

    def op(n: Node, s: Slots) -> Array:
        x, weight = s.tensor(n.x), s.tensor(n.w)
        stride, dilation, padding, extra = (
            _spatial(n, kind, letters)
            for kind in ("stride", "dilation", "padding", "output_padding")
        )
        sizes = x.shape[1:-1]
        whole = [
            (size - 1) * step + d * (taps - 1) + 1 + more
            for size, step, d, taps, more in zip(
                sizes, stride, dilation, weight.shape[1:-1], extra, strict=True
            )
        ]
        out = np.zeros((x.shape[0], *whole, weight.shape[0]))
        for offsets, matrix in _taps(n, weight, letters):
            window = (
                slice(o, o + step * (size - 1) + 1, step)
                for o, step, size in zip(offsets, stride, sizes, strict=True)
            )
            out[(slice(None), *window)] += _by_groups(x, matrix, n.groups)
        # Output padding widens the end that the padding cuts off.
        crop = (slice(p, size - p) for p, size in zip(padding, whole, strict=True))
        return out[(slice(None), *crop)]

    return op


def _rms_norm(n: Node, s: Slots) -> Array:
    x, weight = s.tensor(n.x), s.optional(n.weight)
    normed = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + n.eps)
    return normed if weight is None else normed * weight


def _layer_norm(n: Node, s: Slots) -> Array:
    x, weight, bias = s.tensor(n.x), s.optional(n.weight), s.optional(n.bias)
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt(np.mean(centred * centred, -1, keepdims=True) + n.eps)
    normed = normed if weight is None else normed * weight
    return normed if bias is None else normed + bias


def _rope(n: Node, s: Slots) -> Array:
    """Rotate pairs of the first `dims` features of x (batch, …, positions, features)."""
    x = s.tensor(n.x)
    head, rest = x[..., : n.dims], x[..., n.dims :]
    freqs = s.optional(n.freqs)
    turns = np.arange(0, n.dims, 2) / n.dims
    pace = float(n.base) ** -turns if freqs is None else 1.0 / freqs
    offset = np.asarray(s.at(n.offset), np.float64).reshape(-1)  # one, or one a batch row
    steps = (offset[:, None] + np.arange(x.shape[-2])) * n.scale  # (1 or batch, positions)
    angles = steps[..., None] * pace
    angles = angles.reshape(angles.shape[0], *(1,) * (x.ndim - 3), *angles.shape[1:])
    cos, sin = np.cos(angles), np.sin(angles)
    if n.traditional:
        a, b = head[..., 0::2], head[..., 1::2]
        turned = np.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(head.shape)
    else:
        a, b = np.split(head, 2, -1)
        turned = np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)
    return np.concatenate([turned, rest], -1)


def heads_repeated(n: Node, s: Slots) -> tuple[Array, Array, Array]:
    """Queries, keys and values of attention, the heads of the last two repeated as the first has.

    Each is (batch, heads, positions, features).
    """
    q, k, v = s.tensor(n.q), s.tensor(n.k), s.tensor(n.v)
    groups = q.shape[1] // k.shape[1]
    return (q, k, v) if groups == 1 else (q, np.repeat(k, groups, 1), np.repeat(v, groups, 1))


def attention(n: Node, s: Slots) -> tuple[Array, Array, Array]:
    """Scores and their softmax (batch, heads, queries, keys), and values with heads repeated.

    Causal attention lets the last query see the last key. A row of which a mask of truth values
    leaves nothing weighs all keys alike, as with the finite number that MLX puts there.
    """
    q, k, v = heads_repeated(n, s)
    scores = np.matmul(q * n.scale, k.swapaxes(-1, -2))
    mask = s.optional(n.mask)
    if n.causal:
        queries, keys = scores.shape[-2:]
        mask = np.tri(queries, keys, keys - queries, dtype=bool)
    if mask is not None:
        if mask.dtype == bool:
            blind = ~mask.any(-1, keepdims=True)
            mask = np.where(mask | blind, 0.0, -math.inf)
            scores = np.where(blind, 0.0, scores)
        scores = scores + mask
    return scores, softmax(scores), v


def attention_by_scale(n: Node, s: Slots) -> tuple[Array, Array]:
    """The derivative of attention's output by the logarithm of its scale, and each row's scores.

    The latter as the root of their mean square by weight: (batch, heads, queries).
    """
    scores, weights, v = attention(n, s)
    scores = np.where(np.isfinite(scores), scores, 0.0)
    size = np.sqrt((weights * scores * scores).sum(-1))
    mask = s.optional(n.mask)
    if mask is not None and mask.dtype != bool:
        scores = scores - np.where(np.isfinite(mask), mask, 0.0)
    centred = scores - (weights * scores).sum(-1, keepdims=True)
    return np.matmul(weights * centred, v), size


def _sdpa(n: Node, s: Slots) -> Array:
    _, weights, v = attention(n, s)
    return np.matmul(weights, v)


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    "AddmmNode": _addmm,
    "Conv1DNode": _conv(""),
    "Conv2DNode": _conv("hw"),
    "Conv3DNode": _conv("dhw"),
    "ConvTranspose1DNode": _conv_transpose(""),
    "ConvTranspose2DNode": _conv_transpose("hw"),
    "ConvTranspose3DNode": _conv_transpose("dhw"),
    "DequantizeNode": dequantized,
    "GatherMmNode": lambda n, s: _gathered(n, s, s.tensor(n.a), s.tensor(n.b)),
    "GatherQmmNode": _gather_qmm,
    "LayerNormNode": _layer_norm,
    "QuantizedMatmulNode": _quantized_matmul,
    "RMSNormNode": _rms_norm,
    "RopeNode": _rope,
    "SdpaNode": _sdpa,
}
