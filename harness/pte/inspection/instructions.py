"""The instructions of an MLX delegate, with the types that its payload and its export tell.

A payload declares constants, inputs, outputs and buffers. What a temporary is, only the export
knows: it records the type of each node's value beside the file. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.pte.inspection.model import NodeContents, QuantizedLayer, Slot, Tensor
from harness.pte.names import StepNames
from harness.pte.payload import OUTPUT_FIELDS, MLXGraph, Tid, Vid, outputs_of

__all__ = ["UNKNOWN", "chains", "declared", "quantized", "slot"]

UNKNOWN = Tensor(None, None)


def declared(graph: MLXGraph, index: int) -> Tensor:
    """What the payload says of a tensor."""
    meta = graph.meta_of(index)
    if meta is None:
        return UNKNOWN
    shape = tuple(dim.size for dim in meta.shape)
    most = tuple(dim.most for dim in meta.shape) if None in shape else None
    return Tensor(meta.scalar.name, shape, most)


def chains(
    graph: MLXGraph, names: StepNames, instruction: int
) -> dict[str, tuple[NodeContents, ...]]:
    """Every chain of a delegate, the main one first; `instruction` is the plan's that runs it."""
    roles = {graph.main: "main", **({} if graph.init is None else {graph.init: "init"})}
    order = sorted(range(len(graph.chains)), key=lambda i: (i != graph.main, i != graph.init, i))
    return {
        roles.get(chain, f"inner {chain}"): tuple(_nodes(graph, chain, names, instruction))
        for chain in order
    }


def _nodes(
    graph: MLXGraph, chain: int, names: StepNames, instruction: int
) -> Iterator[NodeContents]:
    # Several instructions write one temporary, one after the other.
    types: dict[int, Tensor] = {}
    for index, node in enumerate(graph.chains[chain]):
        place = (instruction, chain, index)
        inputs: dict[str, Slot | tuple[Slot, ...]] = {}
        attributes: dict[str, Any] = {}
        for field, value in vars(node).items():
            if field in OUTPUT_FIELDS or value is None:
                continue
            if isinstance(value, Tid):
                inputs[field] = slot(graph, value, types)
            elif isinstance(value, tuple) and value and all(isinstance(v, Tid) for v in value):
                inputs[field] = tuple(slot(graph, v, types) for v in value)
            else:
                attributes[field] = _attribute(value)
        for output, made in enumerate(outputs_of(node)):
            if isinstance(made, Tid):
                recorded = names.types.get((place, output))
                types[made.idx] = Tensor(*recorded) if recorded else _written(graph, made)
        origin = names.origins.get(place)
        yield NodeContents(
            index=index,
            op=type(node).__name__,
            inputs=inputs,
            outputs=tuple(slot(graph, made, types) for made in outputs_of(node)),
            attributes=attributes,
            origin=None if origin is None else origin.node or origin.edge,
            module=None if origin is None else origin.module,
        )


def _written(graph: MLXGraph, tid: Tid) -> Tensor:
    """Type of a slot after an instruction of unknown result: that of a buffer stays."""
    return declared(graph, tid.idx) if tid in (*graph.buffers, *graph.outputs) else UNKNOWN


def _attribute(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_attribute(item) for item in value)
    return {"value": value.idx} if isinstance(value, Vid) else value


def slot(graph: MLXGraph, what: Tid | Vid, types: dict[int, Tensor] | None = None) -> Slot:
    """A slot as an instruction sees it; `types` holds those written before."""
    if isinstance(what, Vid):
        return Slot(what.idx, "value", None, None)
    kind = "temporary"
    if what.idx < graph.constants:
        kind = "constant"
    elif what in graph.buffers:
        kind = "buffer"
    elif what in graph.inputs:
        kind = "input"
    elif what in graph.outputs:
        kind = "output"
    tensor = (types or {}).get(what.idx) or declared(graph, what.idx)
    return Slot(what.idx, kind, graph.names.get(what.idx), tensor)


def quantized(graph: MLXGraph) -> Iterator[QuantizedLayer]:
    """Packed weights of one delegate."""
    for node, w, _, _ in graph.quantized():
        shape = declared(graph, w).shape or ()
        if shape and shape[-1] is not None:
            shape = (*shape[:-1], shape[-1] * 32 // node.bits)
        yield QuantizedLayer(
            name=graph.names.get(w, f"tensor {w}"),
            op=type(node).__name__,
            bits=node.bits,
            group=node.group_size,
            mode=node.mode,
            shape=tuple(size or 0 for size in shape),
        )
