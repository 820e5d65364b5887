"""Let values of a program be seen on any runtime: as further outputs, or as the only one.

A runtime that shows nothing but outputs, as ExecuTorch's own, shows these. Either changes what is
lowered: what two operators were fused to may come apart where the value between them is wanted.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.exported_program import OutputKind, TensorArgument
from torch.fx import Node
from torch.utils import _pytree as pytree

__all__ = ["copied", "cut_after", "tapped", "writes_into_buffer"]


def tapped(program: ExportedProgram, names: Collection[str]) -> tuple[str, ...]:
    """Make the values of nodes outputs, in place, with upstream's taps.

    Returns
    -------
    tuple of str
        The nodes, in the order of the outputs, which stand behind the program's own. Lower the
        program with ``taps=True``.
    """
    from executorch.devtools.intermediate_output_tap import tap_intermediate_outputs_

    def chosen(node: Node) -> bool:
        wanted = node.name in names and not writes_into_buffer(node)
        return wanted and isinstance(node.meta.get("val"), torch.Tensor)

    _, specs = tap_intermediate_outputs_(program, [(chosen, "FULL_TENSOR")], error_on_empty=False)
    return tuple(spec.node_name for spec in specs)


def writes_into_buffer(node: Node) -> bool:
    """Whether a node returns a buffer, which a delegate keeps to itself: it is no output."""
    schema = getattr(node.target, "_schema", None)
    first = node.args[0] if node.args else None
    writes = schema is not None and schema.is_mutable and len(schema.returns) == 1
    return writes and isinstance(first, Node) and first.op in ("placeholder", "get_attr")


def cut_after(program: ExportedProgram, name: str) -> None:
    """Make one node the only tensor that a program returns, in place; what is behind it goes."""
    graph: Any = program.graph_module.graph
    node = next(node for node in graph.nodes if node.name == name)
    ending, specs = graph.output_node(), program.graph_signature.output_specs
    first, *others = (n for n, s in enumerate(specs) if s.kind is OutputKind.USER_OUTPUT)
    outputs = list(ending.args[0])
    outputs[first] = node
    specs[first].arg = TensorArgument(name=name)
    ending.args = (tuple(out for n, out in enumerate(outputs) if n not in others),)
    specs[:] = [spec for n, spec in enumerate(specs) if n not in others]
    signature = program.module_call_graph[0].signature
    assert signature is not None
    signature.out_spec = pytree.tree_structure((0,))
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def copied(program: ExportedProgram) -> ExportedProgram:
    """A program whose graph, signatures and constants are its own; weights are shared."""
    kept = copy.copy(program)
    kept._constants = dict(program.constants)
    kept._graph_module = copy.deepcopy(program.graph_module)
    kept._graph_signature = copy.deepcopy(program.graph_signature)
    kept._module_call_graph = copy.deepcopy(program.module_call_graph)
    return kept
