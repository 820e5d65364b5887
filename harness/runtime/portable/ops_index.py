"""Nodes that read and write by index: lookups, gathers, scatters, cache updates.

Upstream trusts tensor indices and reads whatever lies there; here they are checked first, since
an answer made of garbage must not be judged. What upstream does oddly but always the same, a
faithful run does too, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import ExecutionError
from harness.pte.payload import Node, Tid
from harness.runtime.portable.blas import mx
from harness.runtime.portable.ops_shape import axis_of, window
from harness.runtime.portable.slots import Slots, warn_oddity
from harness.runtime.portable.tensors import allocatable

__all__ = ["OPS", "checked_indices"]


def checked_indices(indices: Any, size: int, axis: int, span: int = 1) -> Any:
    """`indices`, from each of which `span` elements lie within an axis of `size`.

    Negative ones count from the end.
    """
    if indices.size and mx.issubdtype(indices.dtype, mx.integer):
        # Inputs are in memory already, where numpy looks without waking MLX's thread.
        given = np.array(indices, copy=False)
        low, high = int(given.min()), int(given.max())
        fits = -size <= low and high <= size - span
        if fits and span > 1 and low < 0:
            fits = int(given[given < 0].max()) <= -span
        if not fits:
            raise ExecutionError(
                f"indices {low} to {high} leave axis {axis} of size {size}"
                f"{f' in slices of {span}' if span > 1 else ''}: native would read garbage"
            )
    return indices


def _take(n: Node, s: Slots) -> Any:
    x = s.tensor(n.x)
    axis = axis_of(n.axis, x.ndim)
    if isinstance(n.index, Tid):
        return mx.take(x, checked_indices(s.tensor(n.index), x.shape[axis], axis), axis=axis)
    index, size = s.integer(n.index), x.shape[axis]
    if not -size <= index < size:
        raise ExecutionError(f"index {index} is out of range for axis {axis} of size {size}")
    return mx.take(x, index % size, axis=axis)


def _take_along_axis(n: Node, s: Slots) -> Any:
    x = s.tensor(n.x)
    axis = axis_of(n.axis, x.ndim)
    indices = checked_indices(s.tensor(n.indices), x.shape[axis], axis)
    return mx.take_along_axis(x, indices, axis=axis)


def _gather(n: Node, s: Slots) -> Any:
    """Blocks of `slice_sizes` at the given indices: shape of the indices, then of the block.

    Done as advanced indexing on the transposed input, since MLX's Python package has no gather.
    """
    x = s.tensor(n.x)
    axes = [axis_of(axis, x.ndim) for axis in n.axes if axis >= 0]
    sizes = n.slice_sizes
    if len(axes) != len(n.axes) or len(set(axes)) != len(axes) or len(axes) != len(n.indices):
        raise ExecutionError(f"axes {n.axes} do not fit {len(n.indices)} indices")
    if len(sizes) != x.ndim or any(not 0 < k <= d for k, d in zip(sizes, x.shape, strict=True)):
        raise ExecutionError(f"slice sizes {sizes} do not fit shape {x.shape}")
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    block = x[tuple(slice(None) if i in axes else slice(0, k) for i, k in enumerate(sizes))]
    if not axes:
        return block
    if any(s.tensor(t).dtype == mx.bool_ for t in n.indices):
        raise ExecutionError("indices are truth values, which native refuses")
    indices = mx.broadcast_arrays(
        *(
            checked_indices(s.tensor(t), x.shape[axis], axis, sizes[axis])
            for t, axis in zip(n.indices, axes, strict=True)
        )
    )
    batch = indices[0].ndim
    allocatable([max(1, d) for d in (*indices[0].shape, *sizes)], x.dtype)
    # Each index grows one trailing dimension per indexed axis and runs along its own.
    chosen = []
    for i, (index, axis) in enumerate(zip(indices, axes, strict=True)):
        wrapped = mx.where(index < 0, index + x.shape[axis], index).astype(mx.int32)
        run = mx.arange(sizes[axis]).reshape([-1 if j == i else 1 for j in range(len(axes))])
        chosen.append(wrapped.reshape((*wrapped.shape, *(1,) * len(axes))) + run)
    picked = mx.transpose(block, axes + rest)[tuple(chosen)]
    order = [batch + (axes + rest).index(axis) for axis in range(x.ndim)]
    return mx.transpose(picked, [*range(batch), *order])


def _scatter_add(n: Node, s: Slots) -> Any:
    """Add each update where its index points along one axis; shapes broadcast off that axis."""
    x, indices, updates = s.tensor(n.x), s.tensor(n.indices), s.tensor(n.updates)
    axis = axis_of(n.axis, x.ndim)
    if indices.ndim != x.ndim:
        raise ExecutionError(f"indices have {indices.ndim} dimensions, expected {x.ndim}")
    checked_indices(indices, x.shape[axis], axis)
    if tuple(mx.broadcast_shapes(indices.shape, updates.shape)) != tuple(indices.shape):
        raise ExecutionError(f"updates {updates.shape} are larger than indices {indices.shape}")
    shape = list(x.shape)
    shape[axis] = indices.shape[axis]
    indices = mx.broadcast_to(indices, shape)
    updates = mx.broadcast_to(updates.astype(x.dtype), shape)
    where = [
        indices
        if i == axis
        else mx.arange(size).reshape([-1 if j == i else 1 for j in range(x.ndim)])
        for i, size in enumerate(shape)
    ]
    return x.at[tuple(where)].add(updates)


def _slice_update(n: Node, s: Slots) -> Any:
    """Write `update` over a slice; the way a KV cache grows."""
    target, update = s.writable(n.dst), s.tensor(n.update)
    axis = axis_of(s.integer(n.axis), target.ndim)
    if n.step < 1:
        raise ExecutionError(f"the step of a slice update must be at least 1 (got {n.step})")
    size = target.shape[axis]
    wanted = s.integer(n.start), s.integer(n.stop)
    start, stop = (max(0, min(size, p + size if p < 0 else p)) for p in wanted)
    if start < stop:
        return _written(target, axis, (start, stop, n.step), update)
    if update.ndim == target.ndim and update.shape[axis] == 0:
        return target
    dropped = f"a write at {wanted[0]} to {wanted[1]} lies outside axis {axis} of size {size}"
    if not s.faithful:
        raise ExecutionError(f"{dropped}: native would silently drop the write")
    if start > stop:
        mx.broadcast_to(update, (*target.shape[:axis], 0, *target.shape[axis + 1 :]))
    warn_oddity(f"{dropped} and is dropped")
    return target


def _written(target: Any, axis: int, extent: tuple[int, int, int], update: Any) -> Any:
    """`target` with `update`, broadcast, over start, stop and step of one axis."""
    length = -(-(extent[1] - extent[0]) // extent[2])
    # A new handle on the same data, so that other slots keep the old contents; MLX still updates
    # in place when nothing else holds them.
    result = mx.array(target)
    # Python's item assignment would also drop leading dimensions of 1, which native does not.
    shape = (*target.shape[:axis], length, *target.shape[axis + 1 :])
    result[window(axis, *extent)] = mx.broadcast_to(update, shape)
    return result


def _index_copy(n: Node, s: Slots) -> Any:
    """Write the rows of `update` at 64-bit positions along one axis, later ones last."""
    target, update, indices = s.writable(n.dst), s.tensor(n.update), s.tensor(n.indices)
    axis = axis_of(n.axis, target.ndim)
    if indices.ndim != 1 or indices.dtype != mx.int64:
        raise ExecutionError(f"indices must be 1-d int64, got {indices.ndim}-d {indices.dtype}")
    if indices.size == 0:
        return target
    mx.eval(indices)
    positions = _positions(np.array(indices, copy=False), s.faithful)
    size = target.shape[axis]
    if not (-size <= positions.min() and positions.max() < size):
        raise ExecutionError(
            f"indices {positions.min()} to {positions.max()} leave axis {axis} of size {size}"
        )
    if update.ndim != target.ndim:
        raise ExecutionError(f"update has {update.ndim} dimensions, expected {target.ndim}")
    for start, first, last in _runs([int(p) % size for p in positions]):
        rows = update[window(axis, first, last)]
        target = _written(target, axis, (start, start + last - first, 1), rows)
    return target


def _positions(positions: np.ndarray[Any, Any], faithful: bool) -> np.ndarray[Any, Any]:
    """The positions that native reads: it takes them for neighbours in memory."""
    stride = positions.strides[0]
    if positions.size == 1 or stride == 8:
        return positions
    odd = f"indices have a stride of {stride} bytes"
    # A longer stride keeps the neighbours inside the same memory; any other may leave it.
    if not faithful or stride < 8:
        raise ExecutionError(f"{odd}: native would ignore it")
    warn_oddity(f"{odd}, which is ignored")
    return np.lib.stride_tricks.as_strided(positions, strides=(8,))


def _runs(positions: list[int]) -> list[tuple[int, int, int]]:
    """Stretches of consecutive positions: (first position, first row, row after the last)."""
    runs: list[tuple[int, int, int]] = []
    for row, position in enumerate(positions):
        if runs and position == runs[-1][0] + row - runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1], row + 1)
        else:
            runs.append((position, row, row + 1))
    return runs


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    "GatherNode": _gather,
    "IndexCopyNode": _index_copy,
    "ScatterAddNode": _scatter_add,
    "SliceUpdateNode": _slice_update,
    "TakeAlongAxisNode": _take_along_axis,
    "TakeNode": _take,
}
