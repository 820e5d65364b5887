"""Reductions, scans along an axis, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.pte.payload import Node
from harness.runtime.portable.blas import mx
from harness.runtime.portable.slots import Slots

__all__ = ["OPS"]

Op = Callable[[Node, Slots], Any]


def _reduce(function: Callable[..., Any]) -> Op:
    """Over the named axes, or over all if none is named."""
    return lambda n, s: function(s.tensor(n.x), axis=list(n.axes) or None, keepdims=n.keepdims)


def _spread(function: Callable[..., Any]) -> Op:
    return lambda n, s: function(
        s.tensor(n.x), axis=list(n.axes) or None, keepdims=n.keepdims, ddof=n.ddof
    )


def _best(function: Callable[..., Any]) -> Op:
    return lambda n, s: function(s.tensor(n.x), axis=n.axis, keepdims=n.keepdims)


def _order(function: Callable[..., Any]) -> Op:
    return lambda n, s: function(s.tensor(n.x), axis=n.axis)


def _divide_at(function: Callable[..., Any]) -> Op:
    return lambda n, s: function(s.tensor(n.x), s.integer(n.kth), axis=n.axis)


def _logsumexp(n: Node, s: Slots) -> Any:
    # Unlike the other reductions, no axes means no reduction: upstream passes the empty list on.
    return mx.logsumexp(s.tensor(n.x), axis=list(n.axes), keepdims=n.keepdims)


def _cumsum(n: Node, s: Slots) -> Any:
    return mx.cumsum(s.tensor(n.x), axis=n.axis, reverse=n.reverse, inclusive=n.inclusive)


OPS: dict[str, Op] = {
    "AllNode": _reduce(mx.all),
    "AnyNode": _reduce(mx.any),
    "ArgPartitionNode": _divide_at(mx.argpartition),
    "ArgmaxNode": _best(mx.argmax),
    "ArgminNode": _best(mx.argmin),
    "ArgsortNode": _order(mx.argsort),
    "CumsumNode": _cumsum,
    "LogSumExpNode": _logsumexp,
    "MaxNode": _reduce(mx.max),
    "MeanNode": _reduce(mx.mean),
    "MedianNode": _reduce(mx.median),
    "MinNode": _reduce(mx.min),
    "PartitionNode": _divide_at(mx.partition),
    "ProdNode": _reduce(mx.prod),
    "SoftmaxNode": lambda n, s: mx.softmax(s.tensor(n.x), axis=n.axis, precise=n.precise),
    "SortNode": _order(mx.sort),
    "StdNode": _spread(mx.std),
    "SumNode": _reduce(mx.sum),
    "VarNode": _spread(mx.var),
}
