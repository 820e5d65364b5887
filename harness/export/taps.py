"""Let values of a program be seen on any runtime: as further outputs, or as the only one.

A runtime that shows nothing but outputs, as ExecuTorch's own, shows these. Either changes what is
lowered: what two operators were fused to may come apart where the value between them is wanted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.exported_program import OutputKind, TensorArgument
from torch.fx import Node

__all__ = ["cut_after", "tapped"]


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
        return node.name in names and isinstance(node.meta.get("val"), torch.Tensor)

    _, specs = tap_intermediate_outputs_(program, [(chosen, "FULL_TENSOR")], error_on_empty=False)
    return tuple(spec.node_name for spec in specs)


def cut_after(program: ExportedProgram, name: str) -> None:
    """Make one node the only output of a program that has one, in place; what is behind it goes."""
    graph: Any = program.graph_module.graph
    node = next(node for node in graph.nodes if node.name == name)
    ending = graph.output_node()
    (own,) = (s for s in program.graph_signature.output_specs if s.kind is OutputKind.USER_OUTPUT)
    place = program.graph_signature.output_specs.index(own)
    outputs = list(ending.args[0])
    outputs[place] = node
    ending.args = (tuple(outputs),)
    own.arg = TensorArgument(name=name)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
