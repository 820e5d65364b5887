"""One wrong instruction: every attribute and operand of every node type in the six graphs.

A rule changes one field of a node, or its type. In each method and precision it is applied to one
node: in fp32 to the first that has something to change, in bf16 to the last, in bf16-4w8w to one
between.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.flatbuffer import record
from harness.pte.schema import mlx_schema
from tests.mutate.bench import Bench, Fault, Trial, method_of
from tests.mutate.pte import Graph

__all__ = ["RULES", "graph_faults", "literal_faults"]

Change = Callable[[Any, Graph], Any]
"""From a node and its graph to another node; None where the field has nothing to change."""

_END = 2**63 - 1


def _field(name: str, change: Callable[[Any], Any]) -> Change:
    def changed(node: Any, graph: Graph) -> Any:
        before = getattr(node, name)
        after = change(before)
        return None if after is None else dataclasses.replace(node, **{name: after})

    return changed


def _put(name: str, value: Any) -> Change:
    return _field(name, lambda before: value)


def _times(name: str, factor: float) -> Change:
    return _field(name, lambda value: value * factor)


def _plus(name: str, step: int) -> Change:
    """Another whole number; of one that is a value slot, the next slot or the one before."""

    def change(value: Any) -> Any:
        if isinstance(value, int):
            return value + step
        if getattr(value, "tid", None) is not None and value.kind == 2:
            return None
        dynamic = getattr(value, "is_vid", False) or getattr(value, "kind", 0) == 1
        if dynamic:
            slot = value.vid.idx
            return dataclasses.replace(value, vid=record("Vid", ("idx",))(slot - 1 if slot else 1))
        if value.literal == _END:
            return dataclasses.replace(value, literal=-1)
        return dataclasses.replace(value, literal=value.literal + step)

    return _field(name, change)


def _not(name: str) -> Change:
    return _field(name, lambda value: not value)


def _none(name: str) -> Change:
    def changed(node: Any, graph: Graph) -> Any:
        return None if getattr(node, name) is None else dataclasses.replace(node, **{name: None})

    return changed


def _swapped(one: str, other: str) -> Change:
    def changed(node: Any, graph: Graph) -> Any:
        return dataclasses.replace(node, **{one: getattr(node, other), other: getattr(node, one)})

    return changed


def _twice(kept: str, lost: str) -> Change:
    """One operand in the place of the other, too."""
    return lambda node, graph: dataclasses.replace(node, **{lost: getattr(node, kept)})


def _becomes(kind: str, **fields: Any) -> Change:
    """Another node type with the same operands."""

    def changed(node: Any, graph: Graph) -> Any:
        names = tuple(field.name for field in mlx_schema().tables[kind])
        return record(kind, names)(*(fields.get(name, getattr(node, name, None)) for name in names))

    return changed


def _permuted(name: str) -> Change:
    """Two entries of a list in each other's place: the last two that differ."""

    def change(items: tuple[Any, ...]) -> Any:
        for i in range(len(items) - 1, 0, -1):
            if items[i] != items[i - 1]:
                swapped = list(items)
                swapped[i - 1], swapped[i] = items[i], items[i - 1]
                return tuple(swapped)
        return None

    return _field(name, change)


def _other_weight(name: str) -> Change:
    """The operand of the next or previous constant of the same type and shape."""

    def changed(node: Any, graph: Graph) -> Any:
        here = getattr(node, name)
        if here is None or here.idx >= graph.raw.num_constant_tensors:
            return None
        meta = graph.raw.tensor_meta
        alike = [
            index
            for index in range(graph.raw.num_constant_tensors)
            if index != here.idx and meta[index] == meta[here.idx]
        ]
        if not alike:
            return None
        return dataclasses.replace(node, **{name: record("Tid", ("idx",))(alike[-1])})

    return changed


def _number(value: float) -> Any:
    return record("FloatOrVid", ("literal", "vid", "is_vid"))(value, None, False)


def _scalar_type(value: int | None) -> int | None:
    """Float32 and bfloat16, int64 and int32 in each other's place."""
    return {6: 15, 15: 6, 4: 3, 3: 4, None: 6}.get(value)


RULES: Mapping[str, Mapping[str, Change]] = {
    "AbsNode": {"→ neg": _becomes("NegNode")},
    "AddIntNode": {"→ sub": _becomes("SubtractIntNode")},
    "AddNode": {"→ sub": _becomes("SubtractNode"), "a twice": _twice("a", "b"),
                "b twice": _twice("b", "a")},
    "AddmmNode": {"other weight": _other_weight("mat2"), "alpha": _times("alpha", 1.005)},
    "ARangeNode": {"start+1": _plus("start", 1), "stop+1": _plus("stop", 1),
                   "step 2": _plus("step", 1), "type": _field("scalar_type", _scalar_type)},
    "AsTypeNode": {"type": _field("scalar_type", _scalar_type)},
    "BitwiseOrNode": {"→ and": _becomes("BitwiseAndNode"), "a twice": _twice("a", "b"),
                      "b twice": _twice("b", "a")},
    "BroadcastToNode": {"shape": _permuted("shape")},
    "ClipNode": {"no minimum": _none("a_min"), "no maximum": _none("a_max")},
    "ConcatenateNode": {"order": _permuted("tensors"), "axis": _plus("axis", -1)},
    "ContiguousNode": {},
    "Conv1DNode": {"stride 2": _plus("stride", 1), "padding 1": _plus("padding", 1),
                   "dilation 2": _plus("dilation", 1), "groups 2": _plus("groups", 1)},
    "ConvTranspose1DNode": {
        "stride": _plus("stride", -1), "padding 1": _plus("padding", 1),
        "dilation 2": _plus("dilation", 1), "groups 2": _plus("groups", 1),
        "output padding 1": _plus("output_padding", 1), "other weight": _other_weight("w")},
    "CosNode": {"→ sin": _becomes("SinNode")},
    "DequantizeNode": {"bits": _plus("bits", -4), "group": _field("group_size", lambda g: g // 2),
                       "no biases": _none("biases"), "type": _field("dtype", _scalar_type)},
    "DivideNode": {"→ mul": _becomes("MultiplyNode"), "a / b → b / a": _swapped("a", "b")},
    "EqualNode": {"→ ≠": _becomes("NotEqualNode"), "→ ≥": _becomes("GreaterEqualNode")},
    "ExpandDimsNode": {"axis+1": _plus("axis", 1), "axis−1": _plus("axis", -1)},
    "FullLikeNode": {"v": _put("v", _number(1.0)),
                     "type": _field("scalar_type", _scalar_type)},
    "FullNode": {"v": _put("v", _number(0.0)),
                 "type": _field("scalar_type", _scalar_type)},
    "GreaterEqualNode": {"→ >": _becomes("GreaterNode"), "a, b swapped": _swapped("a", "b")},
    "GreaterNode": {"→ ≥": _becomes("GreaterEqualNode"), "a, b swapped": _swapped("a", "b")},
    "IdCopyNode": {},
    "ItemIntNode": {},
    "LessNode": {"→ ≤": _becomes("LessEqualNode"), "a, b swapped": _swapped("a", "b")},
    "MultiplyNode": {"→ add": _becomes("AddNode"), "a twice": _twice("a", "b"),
                     "b twice": _twice("b", "a")},
    "QuantizedMatmulNode": {
        "bits": _plus("bits", 4), "group": _field("group_size", lambda g: 2 * g),
        "not transposed": _not("transpose"), "no biases": _none("biases"),
        "other values": _other_weight("w"), "other scales": _other_weight("scales"),
        "other biases": _other_weight("biases")},
    "ReshapeNode": {"shape": _permuted("shape")},
    "RMSNormNode": {"eps ×10": _times("eps", 10), "other weight": _other_weight("weight"),
                    "no weight": _none("weight")},
    "RopeNode": {"halves": _not("traditional"), "base +10 %": _times("base", 1.1),
                 "scale +1 %": _times("scale", 1.01), "dims": _field("dims", lambda d: d // 2),
                 "offset": _field("offset", lambda o: dataclasses.replace(
                     o, vid=record("Vid", ("idx",))(0)))},
    "SdpaNode": {"scale +1 %": _times("scale", 1.01), "causal": _not("causal"),
                 "k, v swapped": _swapped("k", "v"), "no mask": _none("mask")},
    "SiluNode": {"→ gelu": _becomes("GeluNode", approximate="none"),
                 "→ gelu tanh": _becomes("GeluNode", approximate="tanh"),
                 "→ sigmoid": _becomes("SigmoidNode")},
    "SinNode": {"→ cos": _becomes("CosNode")},
    "SliceNode": {"start+1": _plus("start", 1), "stop": _plus("stop", -1),
                  "axis": _plus("axis", -1), "step 2": _plus("step", 1)},
    "SliceUpdateNode": {"start+1": _plus("start", 1), "stop": _plus("stop", -1),
                        "axis": _plus("axis", -1)},
    "SoftmaxNode": {"axis": _plus("axis", -1), "precise": _not("precise")},
    "SqueezeNode": {"dims": _put("dims", (0,))},
    "SubtractNode": {"→ add": _becomes("AddNode"), "a, b swapped": _swapped("a", "b")},
    "SumNode": {"axis": _put("axes", (2,)), "dimensions kept": _not("keepdims"),
                "→ mean": _becomes("MeanNode"), "→ max": _becomes("MaxNode")},
    "SymSizeNode": {"dim": _plus("dim", -1)},
    "TakeNode": {"axis": _plus("axis", -1), "index+1": _plus("index", 1),
                 "other table": _other_weight("x")},
    "TransposeNode": {"perm": _permuted("perm"), "other weight": _other_weight("x")},
    "WhereNode": {"x, y swapped": _swapped("x", "y")},
}  # fmt: skip
"""Node type → what can be wrong with it. Those without a rule only copy."""


def graph_faults(bench: Bench, method: str) -> Iterator[Fault]:
    """Every rule on one of the nodes that it applies to, another one in each precision."""
    graph = bench.graph(method)
    places: dict[str, list[int]] = {}
    for place, node in enumerate(graph.nodes):
        places.setdefault(type(node).__name__, []).append(place)
    for kind, here in places.items():
        for label, change in RULES[kind].items():
            fitting = [p for p in here if _changed(graph, p, change) is not None]
            if fitting:
                place = fitting[int(_WHERE[bench.precision] * (len(fitting) - 1))]
                yield Fault(
                    f"{method} {kind.removesuffix('Node')} {label}",
                    "quantisation" if kind in _QUANTISED else "graph",
                    method,
                    partial(_run, method=method, place=place, change=change),
                )


_WHERE = {"fp32": 0.0, "bf16": 1.0, "bf16-4w8w": 0.5}
"""Which of the nodes of a type: the first, the last, the one between."""

_QUANTISED = ("QuantizedMatmulNode", "DequantizeNode")


def _changed(graph: Graph, place: int, change: Change) -> Any:
    """Another node; None where the change does not apply."""
    node = graph.nodes[place]
    after = change(node, graph)
    return None if after == node else after


def _run(bench: Bench, method: str, place: int, change: Change) -> Trial:
    graph = bench.graph(method)
    wrong = graph.with_node(place, _changed(graph, place, change))
    verdicts = bench.on_file(
        method, bench.pte_of(method).with_graph(method_of(method).entry, wrong)
    )
    name = f"instruction {place} ({type(graph.nodes[place]).__name__})"
    return Trial(verdicts, *graph.origins.get(place, ("", "")), name)


def literal_faults(bench: Bench, method: str) -> Iterator[Fault]:
    """Every number of rank 0 among a method's constants: one more, or 1 % more."""
    graph, overwritten = bench.graph(method), 0
    for index in range(graph.raw.num_constant_tensors):
        if graph.raw.tensor_meta[index].shape:
            continue
        name = str(graph.constant(index)).split("/")[-1]
        dummy = name.endswith("_biases_dummy")
        overwritten += dummy
        if overwritten <= dummy:
            yield Fault(
                f"{method} literal {name}", "graph", method,
                partial(_run_literal, method=method, index=index),
            )  # fmt: skip


def _run_literal(bench: Bench, method: str, index: int) -> Trial:
    graph, pte = bench.graph(method), bench.pte_of(method)
    key = graph.constant(index)
    assert key is not None
    dtype = SCALAR_TYPES[graph.raw.tensor_meta[index].scalar_type].numpy
    value = np.frombuffer(pte.weight(key), dtype).copy()
    value += 1 if dtype.kind == "i" else np.where(np.isfinite(value), value / 100, 0).astype(dtype)
    if not np.isfinite(value).all():
        value = np.zeros_like(value)
    return Trial(bench.on_file(method, pte.with_weight(key, value.tobytes())))
