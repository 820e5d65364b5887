"""Passes that rewrite more than they may: casts that change values, and what is no RMS norm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.export.patching import patched

__all__ = ["lossless_casts", "true_norms"]


def _holds(outer: torch.dtype, inner: torch.dtype) -> bool:
    """Whether every value of `inner` is one of `outer`."""
    if inner == outer or inner is torch.bool:
        return True
    if outer.is_floating_point and inner.is_floating_point:
        wide, narrow = torch.finfo(outer), torch.finfo(inner)
        return wide.eps <= narrow.eps and wide.max >= narrow.max and wide.tiny <= narrow.tiny
    if outer.is_floating_point and not inner.is_complex:
        bits = torch.iinfo(inner).bits - (inner != torch.uint8)
        return 2.0**-bits >= torch.finfo(outer).eps / 2 and torch.finfo(outer).max >= 2.0**bits
    if inner.is_floating_point or outer in (torch.bool,) or inner.is_complex or outer.is_complex:
        return False
    wide_int, narrow_int = torch.iinfo(outer), torch.iinfo(inner)
    return wide_int.min <= narrow_int.min and wide_int.max >= narrow_int.max


@contextmanager
def lossless_casts() -> Iterator[None]:
    """Two casts become the second only where the first one changes no value."""
    from executorch.backends.mlx import passes
    from executorch.exir.pass_base import PassResult

    def call(self: Any, graph_module: Any) -> Any:
        graph, target = graph_module.graph, passes.exir_ops.edge.aten._to_copy.default
        changed = False
        for node in list(graph.nodes):
            if node.op != "call_function" or node.target != target or not _pure(node):
                continue
            first = node.args[0]
            again = first.op == "call_function" and first.target == target and _pure(first)
            if again and len(first.users) == 1 and _collapses(first):
                node.args = (first.args[0],)
                graph.erase_node(first)
                changed = True
        if changed:
            graph.lint()
        return PassResult(graph_module, changed)

    with patched(passes.CollapseDtypeConversionPass, "call", call):
        yield


def _pure(node: Any) -> bool:
    """Whether a cast changes the type and nothing else."""
    given = {name for name, value in node.kwargs.items() if value is not None}
    return given == {"dtype"}


def _collapses(first: Any) -> bool:
    return _holds(first.meta["val"].dtype, first.args[0].meta["val"].dtype)


@contextmanager
def true_norms() -> Iterator[None]:
    """Only what is an RMS norm of the last axis with a weight vector is fused into one."""
    from executorch.backends.mlx import passes

    stock = passes.RMSNormMatch.maybe_create.__func__

    def maybe_create(cls: Any, head: Any, **context: Any) -> Any:
        found = stock(cls, head, **context)
        return found if found is not None and _is_norm(found) else None

    with patched(passes.RMSNormMatch, "maybe_create", classmethod(maybe_create)):
        yield


def _is_norm(found: Any) -> bool:
    from executorch.backends.mlx.pattern_utils import match_target

    aten = torch.ops.aten

    def one(target: Any) -> Any:
        return next(node for node in found.body if match_target(node, target))

    mean, power, product = one(aten.mean.dim), one(aten.pow.Tensor_Scalar), one(aten.mul.Tensor)
    x = power.args[0].meta["val"]
    weight = getattr(found.weight_node, "meta", {}).get("val")
    dims = [dim % x.dim() for dim in mean.args[1]]
    keeps = len(mean.args) > 2 and bool(mean.args[2])
    same = product.args[0] is power.args[0]
    vector = isinstance(weight, torch.Tensor) and tuple(weight.shape) == (x.shape[-1],)
    return keeps and dims == [x.dim() - 1] and same and vector
