"""``index_put`` with accumulation, which `F.fold` becomes and the stock delegate does not take.

One scatter-add along an axis: the indexed axes are flattened into one, and so are the indices.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import torch

from harness.export.emitting import emit

__all__ = ["accumulate_at"]


def accumulate_at(builder: Any, node: Any) -> Any:
    """``aten.index_put(x, indices, values, accumulate=True)`` on the last axes of `x`.

    Raises
    ------
    ValueError
        It overwrites instead of adding (which of two writes to one place would count?), the
        indexed axes are not the last ones, or a size is dynamic. The node is then not delegated.
    """
    from executorch.backends.mlx.builder.op_helpers import emit_lifted_constant

    x, index_list, values, *rest = builder.args(node)
    if not (rest and rest[0]):
        raise ValueError("aten.index_put is delegated only with accumulate=True")
    metas = [index if index is None else index.meta["val"] for index in node.args[1]]
    sizes = list(node.args[0].meta["val"].shape)
    first = next(axis for axis, meta in enumerate(metas) if meta is not None)
    indexed = [meta for meta in metas[first:] if meta is not None]
    if len(metas) != len(sizes) or len(indexed) != len(metas) - first:
        raise ValueError("aten.index_put is delegated only where the last axes are indexed")
    if any(meta.dtype not in (torch.int32, torch.int64) for meta in indexed):
        raise ValueError("aten.index_put is not delegated with a mask")
    places = list(torch.broadcast_shapes(*(meta.shape for meta in indexed)))
    if not all(isinstance(size, int) for size in (*sizes, *places)):
        raise ValueError(f"aten.index_put is delegated only at fixed sizes (got {sizes})")

    make = partial(emit, builder)

    def number(value: int) -> Any:
        return emit_lifted_constant(builder, value, torch.int64)

    flat: Any = None  # the place in the flattened axes, Horner's way
    for size, index in zip(sizes[first:], index_list[first:], strict=True):
        here = make("RemainderNode", a=index, b=number(size))  # −1 is the last
        if flat is None:
            flat = here
            continue
        scaled = make("MultiplyNode", a=flat, b=number(size))
        flat = make("AddNode", a=scaled, b=here)
    kept, count = sizes[:first], prod(places)
    flat = make("BroadcastToNode", x=flat, shape=places)
    flat = make("ReshapeNode", x=flat, shape=[1] * first + [count])
    flat = make("BroadcastToNode", x=flat, shape=[*kept, count])
    updates = make("BroadcastToNode", x=values, shape=[*kept, *places])
    updates = make("ReshapeNode", x=updates, shape=[*kept, count])
    wide = make("ReshapeNode", x=x, shape=[*kept, prod(sizes[first:])])
    added = make("ScatterAddNode", x=wide, indices=flat, updates=updates, axis=first)
    return make("ReshapeNode", builder.make_or_get_slot(node), x=added, shape=sizes)
