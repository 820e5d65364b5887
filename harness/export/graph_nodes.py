"""What is known of a node of an exported graph: operator, module, line of the model, shapes."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from harness.pte.names import GraphNode

__all__ = ["computing", "described", "module_of", "without_sources"]


def described(node: Node) -> GraphNode:
    """What is known of a node; of one result of several, what is known of what makes it."""
    node = computing(node)[0]
    values = (each.meta.get("val") for each in (*node.all_input_nodes, node))
    return GraphNode(
        str(node.target),
        module_of(node),
        _source(node.meta.get("stack_trace") or ""),
        tuple(_shape(value) for value in values if isinstance(value, Tensor)),
    )


def computing(node: Node) -> tuple[Node, int | None]:
    """The node that makes a value, and which of its results that is, if it has several."""
    if node.target is operator.getitem and isinstance(node.args[0], Node):
        number: Any = node.args[1]
        return node.args[0], number
    return node, None


def module_of(node: Node) -> str:
    """Path of the module that a node computes in; empty where none is known."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


@contextmanager
def without_sources(programs: Iterable[ExportedProgram]) -> Iterator[None]:
    """Hide where nodes come from, for as long as programs are lowered; their constants stay.

    A delegate names its weights after a hash of the printed graph, in which stack traces would put
    the paths of this checkout: the same export would differ from place to place.
    """
    programs = list(programs)
    nodes = [node for program in programs for node in program.graph.nodes]
    kept = [(node, node.meta.pop("stack_trace", None)) for node in nodes]
    constants = [dict(program.constants) for program in programs]
    try:
        yield
    finally:
        for program, before in zip(programs, constants, strict=True):
            program.constants.update(before)  # the lowering takes lifted ones out of the program
        for node, trace in kept:
            if trace is not None:
                node.meta["stack_trace"] = trace


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(int(size) if isinstance(size, int) else -1 for size in value.shape)


_NOT_THE_MODELS = ("/torch/", "/harness/anymodel/")
"""Folders of code that only calls a model's."""


def _source(trace: str) -> str:
    """The innermost line of a stack trace that is no part of torch: file, line and text."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    found = ""
    for place, text in pairwise(lines):
        if place.startswith("File ") and not any(folder in place for folder in _NOT_THE_MODELS):
            path, line = place.split(", ")[:2]
            name = path.removeprefix('File "').rstrip('"').rsplit("/", 1)[-1]
            found = f"{name}, {line}: {text}"
    return found
