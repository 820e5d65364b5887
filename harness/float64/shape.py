"""Nodes that make, cut, join, rearrange, look up and overwrite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import ExecutionError
from harness.float64.elementwise import numpy_type
from harness.float64.slots import Slots
from harness.pte.payload import Node, Tid

__all__ = ["OPS"]


def _window(x: Array, axis: int, start: int, stop: int, step: int = 1) -> tuple[slice, ...]:
    """Index that cuts one axis; start and stop are held within it, as the runtime holds them."""
    return (slice(None),) * (axis % x.ndim) + (slice(start, stop, step),)


def _arange(n: Node, s: Slots) -> Array:
    dtype = np.dtype(np.int32) if n.scalar_type is None else numpy_type(n.scalar_type)
    return np.arange(s.value(n.start), s.value(n.stop), s.value(n.step)).astype(dtype)


def _as_strided(n: Node, s: Slots) -> Array:
    flat = np.ascontiguousarray(s.tensor(n.x)).reshape(-1)
    index = np.asarray(n.offset)
    for size, stride in zip(s.integers(n.shape), s.integers(n.strides), strict=True):
        index = index[..., None] + np.arange(size) * stride
    return flat[index]


def _broadcast_to(n: Node, s: Slots) -> Array:
    """Broadcast; -1 keeps the input's size, dimensions being matched from the last."""
    x, shape = s.tensor(n.x), list(s.integers(n.shape))
    lead = len(shape) - x.ndim
    sizes = [
        x.shape[i - lead] if size == -1 and i >= lead else size for i, size in enumerate(shape)
    ]
    return np.broadcast_to(x, sizes)


def _full(n: Node, s: Slots) -> Array:
    return np.full(s.integers(n.shape), s.value(n.v)).astype(numpy_type(n.scalar_type))


def _full_like(n: Node, s: Slots) -> Array:
    x = s.tensor(n.x)
    dtype = x.dtype if n.scalar_type is None else numpy_type(n.scalar_type)
    return np.full(x.shape, s.value(n.v)).astype(dtype)


def _pad(n: Node, s: Slots) -> Array:
    x, flat = s.tensor(n.x), s.integers(n.pad_width)
    widths = list(zip(flat[::2], flat[1::2], strict=True))
    if n.mode == "edge":
        return np.pad(x, widths, mode="edge")
    if n.mode != "constant":
        raise ExecutionError(f"pad mode must be constant or edge (got {n.mode!r})")
    return np.pad(x, widths, constant_values=np.asarray(n.constant_value).astype(x.dtype))


def _slice(n: Node, s: Slots) -> Array:
    x = s.tensor(n.x)
    start, stop = s.value(n.start), s.value(n.stop)
    return x[_window(x, s.value(n.axis), start, stop, n.step)]


def _split(n: Node, s: Slots) -> list[Array]:
    x, sizes = s.tensor(n.x), s.integers(n.sizes)
    if len(sizes) == 1:
        return np.split(x, range(sizes[0], x.shape[n.axis], sizes[0]), axis=n.axis)
    return np.split(x, np.cumsum(sizes)[:-1], axis=n.axis)


def _squeeze(n: Node, s: Slots) -> Array:
    """Drop dimensions of size 1; a named one of another size stays."""
    x = s.tensor(n.x)
    if not n.dims:
        return np.squeeze(x)
    axes = tuple(d for d in n.dims if -x.ndim <= d < x.ndim and x.shape[d] == 1)
    return np.squeeze(x, axes) if axes else x


def _tri(n: Node, s: Slots) -> Array:
    return np.tri(s.value(n.n), s.value(n.m), n.k, dtype=bool).astype(numpy_type(n.scalar_type))


def _take(n: Node, s: Slots) -> Array:
    x = s.tensor(n.x)
    if isinstance(n.index, Tid):
        return np.take(x, s.tensor(n.index).astype(np.int64), axis=n.axis)
    return np.take(x, s.value(n.index), axis=n.axis)


def _take_along_axis(n: Node, s: Slots) -> Array:
    return np.take_along_axis(s.tensor(n.x), s.tensor(n.indices).astype(np.int64), axis=n.axis)


def _gather(n: Node, s: Slots) -> Array:
    """Blocks of `slice_sizes` at the given indices: shape of the indices, then of the block."""
    x = s.tensor(n.x)
    axes = [axis % x.ndim for axis in n.axes]
    indices = np.broadcast_arrays(*(s.tensor(t).astype(np.int64) for t in n.indices))
    batch = indices[0].ndim if indices else 0
    where: list[Any] = []
    for axis, size in enumerate(n.slice_sizes):
        run = np.arange(size).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        if axis in axes:
            index = indices[axes.index(axis)]
            index = np.where(index < 0, index + x.shape[axis], index)
            where.append(index.reshape(index.shape + (1,) * x.ndim) + run)
        else:
            where.append(run.reshape((1,) * batch + run.shape))
    return x[tuple(where)]


def _along(axis: int, shape: tuple[int, ...], indices: Array) -> tuple[Array, ...]:
    """Index tuple that runs along every axis but one, which `indices` give."""
    grids = np.ogrid[tuple(slice(size) for size in shape)]
    return tuple(indices if i == axis else grid for i, grid in enumerate(grids))


def _scatter_add(n: Node, s: Slots) -> Array:
    x, indices = s.tensor(n.x), s.tensor(n.indices).astype(np.int64)
    axis = n.axis % x.ndim
    shape = (*x.shape[:axis], indices.shape[axis], *x.shape[axis + 1 :])
    indices = np.broadcast_to(indices, shape)
    made = x.copy()
    np.add.at(made, _along(axis, shape, indices), np.broadcast_to(s.tensor(n.updates), shape))
    return made


def _slice_update(n: Node, s: Slots) -> Array:
    """Write `update`, broadcast, over a slice; what lies outside the axis is not written."""
    made = s.tensor(n.dst).copy()
    axis = s.value(n.axis)
    made[_window(made, axis, s.value(n.start), s.value(n.stop), n.step)] = s.tensor(n.update)
    return made


def _index_copy(n: Node, s: Slots) -> Array:
    made = s.tensor(n.dst).copy()
    update = s.tensor(n.update)
    for row, position in enumerate(s.tensor(n.indices).reshape(-1)):
        lead = (slice(None),) * (n.axis % made.ndim)
        made[(*lead, int(position))] = update[(*lead, row)]
    return made


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    "ARangeNode": _arange,
    "AsStridedNode": _as_strided,
    "BroadcastToNode": _broadcast_to,
    "ConcatenateNode": lambda n, s: np.concatenate([s.tensor(t) for t in n.tensors], n.axis),
    "ContiguousNode": lambda n, s: s.tensor(n.x),
    "ExpandDimsNode": lambda n, s: np.expand_dims(s.tensor(n.x), n.axis),
    "FlipNode": lambda n, s: np.flip(s.tensor(n.x), tuple(n.axes)),
    "FullLikeNode": _full_like,
    "FullNode": _full,
    "GatherNode": _gather,
    "IndexCopyNode": _index_copy,
    "PadNode": _pad,
    "RepeatNode": lambda n, s: np.repeat(s.tensor(n.x), s.value(n.repeats), axis=n.axis),
    "ReshapeNode": lambda n, s: s.tensor(n.x).reshape(s.integers(n.shape)),
    "RollNode": lambda n, s: (
        np.roll(s.tensor(n.x), s.integers(n.shift), tuple(n.axes)) if n.axes else s.tensor(n.x)
    ),
    "ScatterAddNode": _scatter_add,
    "SliceNode": _slice,
    "SliceUpdateNode": _slice_update,
    "SplitNode": _split,
    "SqueezeNode": _squeeze,
    "StackNode": lambda n, s: np.stack([s.tensor(t) for t in n.tensors], n.axis),
    "TakeAlongAxisNode": _take_along_axis,
    "TakeNode": _take,
    "TileNode": lambda n, s: np.tile(s.tensor(n.x), s.integers(n.reps)),
    "TransposeNode": lambda n, s: s.tensor(n.x).transpose(n.perm),
    "TriNode": _tri,
    "TrilNode": lambda n, s: np.tril(s.tensor(n.x), n.k),
    "TriuNode": lambda n, s: np.triu(s.tensor(n.x), n.k),
}
