"""Float32 copies of a delegate's weights, kept between calls as far as a budget reaches.

MLX's CPU kernels for 16-bit and packed weights are many times slower than its float32 product,
and unpacking a weight costs more than multiplying by it. So the first weights that are asked for
are widened once and kept; when the budget is spent the others take the lean route each time.
Nothing is evicted: a model's layers are used in turn, where the least recently used weight is
the one that is needed next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.pte.payload import MLXGraph, Node, Tid, outputs_of

__all__ = ["Budget", "WideWeights"]


@dataclass
class Budget:
    """Bytes that may still be spent on float32 copies; one for all methods of a program."""

    left: int


@dataclass
class WideWeights:
    """The copies of one delegate.

    Attributes
    ----------
    factors
        id of a multiplying node → key of its weight, where that is the same in every call.
    """

    factors: dict[int, tuple[Any, ...]]
    budget: Budget
    kept: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: MLXGraph, budget: Budget) -> WideWeights:
        """Nothing kept yet of the weights of `graph`."""
        return cls(_factors(graph), budget)

    def get(self, node: Node, nbytes: int, make: Callable[[], Any]) -> Any:
        """The weight of `node` as `make` makes it, kept; None where it may not be kept.

        Parameters
        ----------
        nbytes
            What the copy takes.
        """
        key = self.factors.get(id(node))
        if key is None:
            return None
        if key not in self.kept:
            if nbytes > self.budget.left:
                return None
            self.budget.left -= nbytes
            self.kept[key] = make()
        return self.kept[key]


def _factors(graph: MLXGraph) -> dict[int, tuple[Any, ...]]:
    """Which nodes of the main chain multiply by a weight that no call changes, and which one.

    The exporter puts a transposition of the weight in front of a product, in a temporary slot.
    """
    chain = graph.chains[graph.main]
    # Other chains, of scans and branches, are not followed: what they write is not known here.
    if any(type(node).__name__ in ("IfNode", "ScanNode") for node in chain):
        return {}
    written = {slot.idx for node in chain for slot in outputs_of(node) if isinstance(slot, Tid)}
    settled = {*range(graph.constants), *(tid.idx for tid in graph.buffers)} - written
    turned: dict[int, tuple[Any, ...]] = {}
    factors: dict[int, tuple[Any, ...]] = {}
    for node in chain:
        name = type(node).__name__
        if name == "AddmmNode":
            if node.mat2.idx in settled:
                factors[id(node)] = (node.mat2.idx,)
            elif node.mat2.idx in turned:
                factors[id(node)] = turned[node.mat2.idx]
        elif name == "QuantizedMatmulNode":
            parts = [p.idx for p in (node.w, node.scales, node.biases) if p is not None]
            if settled.issuperset(parts):
                factors[id(node)] = (*parts, node.bits, node.group_size, node.transpose)
        for slot in outputs_of(node):
            if isinstance(slot, Tid):
                turned.pop(slot.idx, None)
        if name == "TransposeNode" and node.x.idx in settled:
            turned[node.out.idx] = (node.x.idx, "transposed", tuple(node.perm))
    return factors
