"""Advanced indexing, as torch arranges its result."""

from __future__ import annotations

from typing import Any

import torch

from harness.export.emitting import emit

__all__ = ["index"]


def index(builder: Any, node: Any) -> Any:
    """``aten.index.Tensor``: Gather, Squeeze, and a Transpose where the indices sit together.

    MLX's gather puts the indexed dimensions first. So does PyTorch where the indices are
    separated by a slice; where they are adjacent, it leaves them in place, and the result
    needs the transpose that the stock handler forgets (it reshapes instead).
    """
    x, index_list = builder.args(node)
    axes = [axis for axis, index in enumerate(index_list) if index is not None]
    metas = [node.args[1][axis].meta["val"] for axis in axes]
    if any(meta.dtype in (torch.bool, torch.uint8) for meta in metas):
        raise ValueError("aten.index.Tensor with a mask has a data-dependent shape")
    if len(axes) == 1:
        # Of any rank: its sizes replace the indexed axis, as MLX's take does.
        out = builder.make_or_get_slot(node)
        return emit(builder, "TakeNode", out, x=x, index=index_list[axes[0]], axis=axes[0])

    sizes = node.args[0].meta["val"].shape
    slices = [1 if axis in axes else size for axis, size in enumerate(sizes)]
    if not all(isinstance(size, int) for size in slices):
        raise ValueError(f"aten.index.Tensor: an axis that is not indexed is dynamic: {sizes}")
    lead = max(meta.dim() for meta in metas)
    first = axes[0]
    adjacent = axes == list(range(first, first + len(axes)))
    in_place = adjacent and first > 0

    indices = [index_list[axis] for axis in axes]
    gathered = emit(builder, "GatherNode", x=x, indices=indices, axes=axes, slice_sizes=slices)
    out = None if in_place else builder.make_or_get_slot(node)
    dims = [lead + axis for axis in axes]
    squeezed = emit(builder, "SqueezeNode", out, x=gathered, dims=dims)
    if not in_place:
        return squeezed
    rank = lead + len(sizes) - len(axes)
    perm = [*range(lead, lead + first), *range(lead), *range(lead + first, rank)]
    return emit(builder, "TransposeNode", builder.make_or_get_slot(node), x=squeezed, perm=perm)
