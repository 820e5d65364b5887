"""Forms that stock takes, and that its delegate then refuses: they go to the CPU kernels instead.

A handler that raises an error leaves its operator outside; torch's own decomposition, and then
ExecuTorch's kernels, run it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

__all__ = ["FORMS", "of_integers", "refuse"]

_ATEN = torch.ops.aten


def refuse(builder: Any, node: Any) -> Any:
    """Leave a node outside the delegate."""
    raise NotImplementedError(f"{node.target}: MLX's delegate cannot run this form")


def _shape(node: Any, place: int = 0) -> tuple[Any, ...]:
    return tuple(node.args[place].meta["val"].shape)


def of_integers(node: Any) -> bool:
    """Whether a node makes integers, as it does of integers alone."""
    return not node.meta["val"].dtype.is_floating_point


def _of_a_vector(node: Any) -> bool:
    """Whether an ``aten.linear`` is of integers, or its weight is a vector."""
    return of_integers(node) or len(_shape(node, 1)) == 1


def _without_batch(rank: int) -> Callable[[Any], bool]:
    return lambda node: len(_shape(node)) < rank


def _pooled(rank: int) -> Callable[[Any], bool]:
    """Whether a pooling has no batch, or is asked for the places of what it takes."""

    def form(node: Any) -> bool:
        from executorch.backends.mlx.ops import used_getitem_indices

        return len(_shape(node)) < rank or 1 in used_getitem_indices(node)

    return form


def _larger_source(node: Any) -> bool:
    """Whether an ``aten.scatter_add`` takes a part of its source, or writes a part of its rows."""
    x, index, source = (_shape(node, place) for place in (0, 2, 3))
    axis = node.args[1] % max(len(x), 1)
    aside = [size for n, size in enumerate(x) if n != axis]
    return index != source or aside != [size for n, size in enumerate(index) if n != axis]


def _saving(node: Any) -> bool:
    """Whether a batch norm is asked for the statistics that it saves."""
    from executorch.backends.mlx.ops import used_getitem_indices

    return bool(used_getitem_indices(node) - {0})


FORMS: Mapping[Any, Callable[[Any], bool]] = {
    _ATEN.mm.default: of_integers,
    _ATEN.bmm.default: of_integers,
    _ATEN.matmul.default: of_integers,
    _ATEN.addmm.default: of_integers,
    _ATEN.linear.default: _of_a_vector,
    _ATEN.conv1d.default: _without_batch(3),
    _ATEN.conv2d.default: _without_batch(4),
    _ATEN.conv3d.default: _without_batch(5),
    _ATEN.avg_pool1d.default: _without_batch(3),
    _ATEN.avg_pool2d.default: _without_batch(4),
    _ATEN.max_pool1d.default: _without_batch(3),
    _ATEN.max_pool1d_with_indices.default: _pooled(3),
    _ATEN.max_pool2d_with_indices.default: _pooled(4),
    _ATEN.max_pool3d_with_indices.default: _pooled(5),
    _ATEN.scatter_add.default: _larger_source,
    _ATEN._native_batch_norm_legit_no_training.default: _saving,
}
"""Operator → whether the delegate refuses a node of it."""
