"""Sorting down and taking the least: stock sorts up and takes the greatest, whatever is asked."""

from __future__ import annotations

from typing import Any

import torch

from harness.export.emitting import emit

__all__ = ["argsort", "descends", "sort", "takes_least", "topk"]


def descends(node: Any) -> bool:
    """Whether an ``aten.sort`` or ``aten.argsort`` is asked to sort down; a number has no order."""
    return len(node.args) > 2 and bool(node.args[2]) and _ordered(node)


def takes_least(node: Any) -> bool:
    """Whether an ``aten.topk`` is asked for the least; of one number that is the greatest."""
    return len(node.args) > 3 and not node.args[3] and _ordered(node)


def sort(builder: Any, node: Any) -> Any:
    """``aten.sort`` downwards: sort up and turn round; equal elements stay in their order."""
    from executorch.backends.mlx.ops import used_getitem_indices

    values, indices = outputs = builder.make_or_get_slots(node)
    used = used_getitem_indices(node)
    x, axis = builder.args(node)[0], _axis(node, 1)
    if 0 in used:
        upwards = emit(builder, "SortNode", x=x, axis=axis)
        emit(builder, "FlipNode", values, x=upwards, axes=[axis])
    if 1 in used:
        _downwards(builder, node, axis, indices)
    return outputs


def argsort(builder: Any, node: Any) -> Any:
    """``aten.argsort`` downwards."""
    return _downwards(builder, node, _axis(node, 1), builder.make_or_get_slot(node))


def topk(builder: Any, node: Any) -> Any:
    """``aten.topk`` of the least: the first k of all that are sorted up."""
    from executorch.backends.mlx.ops import used_getitem_indices

    values, indices = outputs = builder.make_or_get_slots(node)
    used = used_getitem_indices(node)
    x, k, *_ = builder.args(node)
    axis = _axis(node, 2)
    order = emit(builder, "ArgsortNode", x=x, axis=axis)
    first = {"axis": axis, "start": 0, "stop": k, "step": 1}
    least = emit(builder, "SliceNode", indices if 1 in used else None, x=order, **first)
    if 0 in used:
        emit(builder, "TakeAlongAxisNode", values, x=x, indices=least, axis=axis)
    return outputs


def _downwards(builder: Any, node: Any, axis: int, out: Any) -> Any:
    """Indices that sort down: of the turned tensor, turned back and counted from the other end."""
    from executorch.backends.mlx.builder.op_helpers import emit_lifted_constant

    x = builder.args(node)[0]
    size = node.args[0].meta["val"].shape[axis]
    if not isinstance(size, int):
        raise ValueError(f"{node.target}: sorting down along an axis of dynamic size")
    turned = emit(builder, "FlipNode", x=x, axes=[axis])
    order = emit(builder, "ArgsortNode", x=turned, axis=axis)
    back = emit(builder, "FlipNode", x=order, axes=[axis])
    last = emit_lifted_constant(builder, size - 1, torch.int64)
    return emit(builder, "SubtractNode", out, a=last, b=back)


def _ordered(node: Any) -> bool:
    return bool(node.args[0].meta["val"].dim())


def _axis(node: Any, place: int) -> int:
    axis = node.args[place] if len(node.args) > place else -1
    rank = node.args[0].meta["val"].dim()
    return int(axis) % max(rank, 1)
