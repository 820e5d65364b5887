"""Float32 copies of a program's weights, kept between calls as far as a budget reaches.

MLX's CPU kernels for 16-bit and packed weights are many times slower than its float32 product,
and unpacking a weight costs more than multiplying by it. So weights are widened once and kept, as
many as the budget allows; the others take the lean route each time. Which ones is settled when a
program is loaded, by their sizes and their order in the file, so that a method's bits do not
depend on which methods ran before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from harness.pte.payload import MLXGraph, Node, Tid, outputs_of

__all__ = ["Fp32Weights", "choose_weights"]

Key = tuple[Any, ...]


@dataclass
class Fp32Weights:
    """The copies of one delegate."""

    chosen: Mapping[int, Key] = field(default_factory=dict)
    kept: dict[Key, Any] = field(default_factory=dict)

    def get(self, node: Node, make: Callable[[], Any]) -> Any:
        """The weight of `node` as `make` makes it, kept; None where it may not be kept."""
        key = self.chosen.get(id(node))
        if key is None:
            return None
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


def choose_weights(graphs: Iterable[MLXGraph], budget: int) -> list[Fp32Weights]:
    """Allot `budget` bytes to the weights of a program's delegates, in their order."""
    made = []
    for graph in graphs:
        chosen: dict[int, Key] = {}
        allowed: dict[Key, bool] = {}
        for node, key, size in _multiplications(graph):
            if key not in allowed:
                allowed[key] = size <= budget
                budget -= size * allowed[key]
            if allowed[key]:
                chosen[id(node)] = key
        made.append(Fp32Weights(chosen))
    return made


def _multiplications(graph: MLXGraph) -> list[tuple[Node, Key, int]]:
    """Nodes of the main chain that multiply by a 16-bit or packed weight that no call changes.

    Each with a key of the weight and the bytes of its copy. The exporter puts a transposition of
    the weight in front of a product, in a temporary slot.
    """
    chain = graph.chains[graph.main]
    # Other chains, of scans and branches, are not followed: what they write is not known here.
    if any(type(node).__name__ in ("IfNode", "ScanNode") for node in chain):
        return []
    written = {slot.idx for node in chain for slot in _tensors(node)}
    settled = {*range(graph.constants), *(tid.idx for tid in graph.buffers)} - written
    turned: dict[int, Key] = {}
    found: list[tuple[Node, Key, int]] = []
    for node in chain:
        name = type(node).__name__
        if name == "AddmmNode":
            weight = node.mat2.idx
            key = (weight,) if weight in settled else turned.get(weight)
            if key is not None and _narrow(graph, key[0]):
                found.append((node, key, 4 * _elements(graph, key[0])))
        elif name == "QuantizedMatmulNode" and node.bits:
            parts = [p.idx for p in (node.w, node.scales, node.biases) if p is not None]
            if settled.issuperset(parts):
                key = (*parts, node.bits, node.group_size, node.transpose)
                found.append((node, key, 4 * _elements(graph, node.w.idx) * 32 // node.bits))
        for slot in _tensors(node):
            turned.pop(slot.idx, None)
        if name == "TransposeNode" and node.x.idx in settled:
            turned[node.out.idx] = (node.x.idx, "transposed", tuple(node.perm))
    return found


def _narrow(graph: MLXGraph, slot: int) -> bool:
    meta = graph.meta[slot] if slot < len(graph.meta) else None
    return meta is not None and meta.scalar.name in ("bfloat16", "float16")


def _elements(graph: MLXGraph, slot: int) -> int:
    meta = graph.meta[slot] if slot < len(graph.meta) else None
    return 0 if meta is None else prod(dim.size or 0 for dim in meta.shape)


def _tensors(node: Node) -> list[Tid]:
    """Tensor slots that a node writes."""
    return [slot for slot in outputs_of(node) if isinstance(slot, Tid)]
