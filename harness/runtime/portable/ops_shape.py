"""Nodes that make, cut, join and rearrange tensors."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from math import isfinite, prod
from typing import Any

import numpy as np

from harness.errors import ExecutionError
from harness.pte.payload import Node
from harness.runtime.portable.blas import mx
from harness.runtime.portable.slots import Slots
from harness.runtime.portable.tensors import affordable, allocatable, mlx_dtype

__all__ = ["OPS", "axis_of", "random_bits", "window"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def axis_of(axis: int, rank: int) -> int:
    """`axis` counted from the front."""
    if not -rank <= axis < rank:
        raise ExecutionError(f"axis {axis} is out of range for {rank} dimensions")
    return axis % rank


def window(axis: int, start: int, stop: int, step: int = 1) -> tuple[slice, ...]:
    """Index that cuts one axis and keeps the others."""
    return (slice(None),) * axis + (slice(start, stop, step),)


def _arange(n: Node, s: Slots) -> Any:
    start, stop, step = s.integer(n.start), s.integer(n.stop), s.integer(n.step)
    if step == 0:
        raise ExecutionError("the step of a range is 0")
    dtype = mx.int32 if n.scalar_type is None else mlx_dtype(n.scalar_type)
    allocatable((max(0, -(-(stop - start) // step)),), dtype)
    return mx.arange(start, stop, step, dtype=dtype)


def _as_strided(n: Node, s: Slots) -> Any:
    x, shape, strides = s.tensor(n.x), s.integers(n.shape), s.integers(n.strides)
    if len(shape) != len(strides):
        raise ExecutionError(f"strides {strides} do not fit shape {shape}")
    reach = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    low = n.offset + sum(r for r in reach if r < 0)
    high = n.offset + sum(r for r in reach if r > 0)
    if low < 0 or high >= x.size or min(shape, default=1) < 1:
        raise ExecutionError(
            f"a strided view spans elements {low} to {high} of {x.size}: native would read garbage"
        )
    return mx.as_strided(x, shape, strides, n.offset)


def _broadcast_to(n: Node, s: Slots) -> Any:
    """Broadcast; -1 keeps the input's size, dimensions being matched from the last."""
    x, shape = s.tensor(n.x), list(s.integers(n.shape))
    lead = len(shape) - x.ndim
    for i, size in enumerate(shape):
        if size == -1 and i >= lead:
            shape[i] = x.shape[i - lead]
    return mx.broadcast_to(x, shape)


def _constant(value: float, dtype: Any) -> Any:
    """`value` as a scalar of `dtype`, if the cast means the same on every machine."""
    if mx.issubdtype(dtype, mx.integer):
        info = mx.iinfo(dtype)
        if not isfinite(value) or not info.min <= int(value) <= info.max:
            raise ExecutionError(f"the fill value {value} does not fit {dtype}")
    return mx.array(value, dtype=mx.float32).astype(dtype)


def _full(n: Node, s: Slots) -> Any:
    dtype = mlx_dtype(n.scalar_type)
    return mx.full(allocatable(s.integers(n.shape), dtype), _constant(s.real(n.v), dtype))


def _full_like(n: Node, s: Slots) -> Any:
    x = s.tensor(n.x)
    dtype = x.dtype if n.scalar_type is None else mlx_dtype(n.scalar_type)
    return mx.full(x.shape, _constant(s.real(n.v), dtype))


def _pad(n: Node, s: Slots) -> Any:
    x, flat = s.tensor(n.x), s.integers(n.pad_width)
    if n.mode not in ("constant", "edge"):
        raise ExecutionError(f"pad mode must be constant or edge (got {n.mode!r})")
    if len(flat) != 2 * x.ndim or min(flat, default=0) < 0:
        raise ExecutionError(f"pad widths {flat} do not fit {x.ndim} dimensions")
    widths = list(zip(flat[::2], flat[1::2], strict=True))
    affordable([a + size + b for (a, b), size in zip(widths, x.shape, strict=True)], x.dtype)
    if n.mode == "edge":
        return mx.pad(x, widths, mode="edge")
    return mx.pad(x, widths, constant_values=mx.array(n.constant_value).astype(x.dtype))


def _repeat(n: Node, s: Slots) -> Any:
    x, repeats = s.tensor(n.x), s.integer(n.repeats)
    axis = axis_of(n.axis, x.ndim)
    allocatable([size * (repeats if i == axis else 1) for i, size in enumerate(x.shape)], x.dtype)
    return mx.repeat(x, repeats, axis=axis)


def _slice(n: Node, s: Slots) -> Any:
    """Slice; start and stop count from the end if negative, and are held within the axis."""
    x = s.tensor(n.x)
    axis = axis_of(s.integer(n.axis), x.ndim)
    if n.step == 0:
        raise ExecutionError("the step of a slice is 0")
    return x[window(axis, s.integer(n.start), s.integer(n.stop), n.step)]


def _split(n: Node, s: Slots) -> Any:
    """Split into chunks of one size, or of several sizes of which the last takes what is left."""
    x, sizes = s.tensor(n.x), s.integers(n.sizes)
    axis = axis_of(n.axis, x.ndim)
    length = x.shape[axis]
    if len(sizes) == 1 and sizes[0] <= 0:
        raise ExecutionError(f"chunks of {sizes[0]} cannot be split off")
    if len(sizes) == 1:
        ends = list(range(sizes[0], length, sizes[0]))
    else:
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    if any(b < a for a, b in zip([0, *ends], [*ends, length], strict=True)):
        raise ExecutionError(f"sizes {sizes} do not fit an axis of {length}")
    chunks = mx.split(x, ends, axis=axis)
    if len(chunks) != len(n.outs):
        raise ExecutionError(f"{len(chunks)} chunks for {len(n.outs)} outputs")
    return chunks


def _squeeze(n: Node, s: Slots) -> Any:
    """Drop dimensions of size 1; a named one of another size stays."""
    x = s.tensor(n.x)
    if not n.dims:
        return mx.squeeze(x)
    axes = [d for d in n.dims if -x.ndim <= d < x.ndim and x.shape[d] == 1]
    return mx.squeeze(x, axes) if axes else x


def _tile(n: Node, s: Slots) -> Any:
    x, reps = s.tensor(n.x), s.integers(n.reps)
    rank = max(x.ndim, len(reps))
    shape = (1,) * (rank - x.ndim) + tuple(x.shape)
    affordable(
        [a * b for a, b in zip(shape, (1,) * (rank - len(reps)) + reps, strict=True)], x.dtype
    )
    return mx.tile(x, reps)


def _tri(n: Node, s: Slots) -> Any:
    dtype = mlx_dtype(n.scalar_type)
    rows, columns = allocatable((s.integer(n.n), s.integer(n.m)), dtype)
    return mx.tri(rows, columns, n.k, dtype=dtype)


def _random_bits(n: Node, s: Slots) -> Any:
    shape = allocatable(s.integers(n.shape), mx.uint32)
    return random_bits(shape, n.width, None if n.seed is None else s.value(n.seed))


def random_bits(shape: tuple[int, ...], width: int, seed: int | None) -> Any:
    """Uniform unsigned integers of `width` bytes, as MLX makes them; no `seed`: of no sequence.

    MLX's Python package does not offer its counter-mode Threefry-2x32-20 (Salmon, Moraes, Dror,
    Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC11); the order of counters is MLX's.
    """
    if width not in (1, 2, 4):
        raise ExecutionError(f"random elements must have 1, 2 or 4 bytes (got {width})")
    key = secrets.randbits(64) if seed is None else seed % 2**64
    size = prod(shape) * width
    half, odd = divmod(-(-size // 4), 2)
    # Word i pairs with word half + odd + i; an odd count leaves word `half` a counter of its own.
    a = np.arange(half + odd, dtype=np.uint32)
    b = a + np.uint32(half + odd)
    b[half:] = 0
    schedule = [np.uint32(key >> 32), np.uint32(key & 0xFFFFFFFF)]
    schedule.append(schedule[0] ^ schedule[1] ^ np.uint32(0x1BD11BDA))
    a, b = a + schedule[0], b + schedule[1]
    with np.errstate(over="ignore"):
        for group in range(5):
            for rotation in _ROTATIONS[group % 2]:
                a = a + b
                b = (b << np.uint32(rotation)) | (b >> np.uint32(32 - rotation))
                b = b ^ a
            a = a + schedule[(group + 1) % 3]
            b = b + schedule[(group + 2) % 3] + np.uint32(group + 1)
    stream = np.concatenate([a, b[:half]]).tobytes()[:size]
    return mx.array(np.frombuffer(stream, f"<u{width}").reshape(shape))


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    "ARangeNode": _arange,
    "AsStridedNode": _as_strided,
    "BroadcastToNode": _broadcast_to,
    "ConcatenateNode": lambda n, s: mx.concatenate([s.tensor(t) for t in n.tensors], axis=n.axis),
    "ContiguousNode": lambda n, s: mx.contiguous(s.tensor(n.x)),
    "ExpandDimsNode": lambda n, s: mx.expand_dims(s.tensor(n.x), n.axis),
    "FlipNode": lambda n, s: mx.flip(s.tensor(n.x), list(n.axes)),
    "FullLikeNode": _full_like,
    "FullNode": _full,
    "PadNode": _pad,
    "RandomBitsNode": _random_bits,
    "RepeatNode": _repeat,
    "ReshapeNode": lambda n, s: mx.reshape(s.tensor(n.x), s.integers(n.shape)),
    "RollNode": lambda n, s: mx.roll(s.tensor(n.x), s.integers(n.shift), axis=list(n.axes)),
    "SliceNode": _slice,
    "SplitNode": _split,
    "SqueezeNode": _squeeze,
    "StackNode": lambda n, s: mx.stack([s.tensor(t) for t in n.tensors], axis=n.axis),
    "TileNode": _tile,
    "TransposeNode": lambda n, s: mx.transpose(s.tensor(n.x), n.perm),
    "TriNode": _tri,
    "TrilNode": lambda n, s: mx.tril(s.tensor(n.x), k=n.k),
    "TriuNode": lambda n, s: mx.triu(s.tensor(n.x), k=n.k),
}
