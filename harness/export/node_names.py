"""Record what each instruction of an export computes, and of which type, beside the `.pte`.

While a program is lowered we watch the MLX program builder, and write what it knew to the file
that `harness.pte.names` describes and reads.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from harness.export.graph_nodes import described, module_of
from harness.files import file_digest, replace_file
from harness.pte.names import SCHEMA, names_file
from harness.pte.payload import OUTPUT_FIELDS

__all__ = ["NodeNames", "recording"]


class NodeNames:
    """What was seen of each delegate that was built, by the digest of its payload."""

    def __init__(self) -> None:
        self._delegates: dict[str, _Delegate] = {}

    def write(self, manager: Any, programs: Mapping[str, ExportedProgram], pte: Path) -> None:
        """Write the names of an ``ExecutorchProgramManager`` beside the file that it went to."""
        program = manager.executorch_program
        methods = {}
        for plan in program.execution_plan:
            if plan.name not in programs:
                continue
            parts = _parts(programs[plan.name])
            payloads = [
                hashlib.sha256(program.backend_delegate_data[d.processed.index].data).hexdigest()
                for d in plan.delegates
            ]
            methods[plan.name] = {
                "delegates": [
                    {"payload": digest, **self._delegates[digest].described(parts)}
                    if digest in self._delegates
                    else {"payload": digest, "instructions": [], "values": [], "types": []}
                    for digest in payloads
                ],
                "kernels": list(_kernels(plan, manager.exported_program(plan.name))),
            }
            methods[plan.name]["nodes"] = _nodes(programs[plan.name], methods[plan.name])
        with replace_file(names_file(pte)) as scratch:
            content = {"schema": SCHEMA, "sha256": file_digest(pte), "methods": methods}
            scratch.write_text(json.dumps(content))

    def add(self, payload: bytes, seen: _Delegate) -> None:
        """Keep what was seen while `payload` was built."""
        self._delegates[hashlib.sha256(payload).hexdigest()] = seen


@contextmanager
def recording() -> Iterator[NodeNames]:
    """Watch every MLX delegate that is built meanwhile."""
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder
    from executorch.backends.mlx.preprocess import MLXBackend

    names = NodeNames()
    mark, preprocess = MLXProgramBuilder._mark_supported, MLXBackend.preprocess
    building: list[_Delegate] = []

    def marked(builder: Any, nodes: Any, *, handler: Any = None) -> None:
        mark(builder, nodes, handler=handler)
        # A support check runs handlers too, on builders whose instructions are thrown away.
        if building and not builder._check_only:
            building[-1].take(builder, nodes if isinstance(nodes, list) else [nodes])

    def preprocessed(edge_program: Any, compile_specs: Any) -> Any:
        building.append(_Delegate())
        try:
            result = preprocess(edge_program, compile_specs)
            names.add(result.processed_bytes, building[-1])
        finally:
            building.pop()
        return result

    MLXProgramBuilder._mark_supported = marked
    MLXBackend.preprocess = staticmethod(preprocessed)
    try:
        yield names
    finally:
        MLXProgramBuilder._mark_supported = mark
        MLXBackend.preprocess = staticmethod(preprocess)


class _Delegate:
    """Instructions of one delegate, and the edge nodes they were made for."""

    def __init__(self) -> None:
        self.lengths: dict[int, int] = {}
        self.instructions: list[tuple[int, int, Node]] = []
        self.values: list[tuple[Node, tuple[int, int, int]]] = []
        self.types: dict[tuple[int, int, int], tuple[str, list[int | None]]] = {}
        self._by_slot: dict[int, tuple[int, int, int]] = {}

    def take(self, builder: Any, nodes: list[Node]) -> None:
        """Note the instructions that came with `nodes`, and where the nodes' values are."""
        slot_of = {id(tid): slot for tid, slot in builder._tid_slot_map}
        slot_of |= {id(vid): slot for vid, slot in builder._vid_slot_map}
        for chain, instructions in enumerate(builder._chains):
            for index in range(self.lengths.get(chain, 0), len(instructions)):
                self.instructions.append((chain, index, nodes[0]))
                for position, out in enumerate(_outputs(instructions[index].op)):
                    if id(out) in slot_of:
                        self._by_slot[id(slot_of[id(out)])] = (chain, index, position)
            self.lengths[chain] = len(instructions)
        for node in nodes:
            slots = builder.slot_manager.get_slot(node) if node.op == "call_function" else None
            several = slots if isinstance(slots, tuple) else (slots,)
            vals = node.meta.get("val")
            made = vals if isinstance(vals, tuple | list) else (vals,)
            for slot, val in zip(several, made, strict=False):
                if id(slot) in self._by_slot and isinstance(val, torch.Tensor):
                    # A view that costs no instruction has the slot of what it views.
                    self.types.setdefault(self._by_slot[id(slot)], _type(val))
            if several and id(several[0]) in self._by_slot:
                self.values.append((node, self._by_slot[id(several[0])]))

    def described(self, parts: Mapping[tuple[str, int], str]) -> dict[str, Any]:
        """As the file has it."""
        values = {_exported(node, parts): place for node, place in self.values}
        return {
            "instructions": [
                [chain, index, *_named(node, parts)] for chain, index, node in self.instructions
            ],
            "values": [[name, *place] for name, place in values.items() if name is not None],
            "types": [[*place, dtype, shape] for place, (dtype, shape) in self.types.items()],
        }


def _nodes(program: ExportedProgram, content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is known of each exported node that a method's names mention."""
    steps = [step for found in content["delegates"] for step in found["instructions"]]
    named = {step[-2] for step in (*steps, *content["kernels"])}
    named |= {value[0] for found in content["delegates"] for value in found["values"]}
    return {
        node.name: list(astuple(described(node)))
        for node in program.graph.nodes
        if node.op == "call_function" and node.name in named
    }


def _outputs(op: Any) -> list[Any]:
    found: list[Any] = []
    for name in OUTPUT_FIELDS:
        value = getattr(op, name, None)
        found += value if isinstance(value, list | tuple) else [value]
    # The builder wraps a slot that may be of either kind.
    return [
        getattr(slot, "tid", None) or getattr(slot, "vid", None) or slot for slot in found if slot
    ]


def _type(value: torch.Tensor) -> tuple[str, list[int | None]]:
    """Type and shape of a value of the graph; None where a call decides a size."""
    sizes = [size if isinstance(size, int) else None for size in value.shape]
    return str(value.dtype).removeprefix("torch."), sizes


def _parts(program: ExportedProgram) -> dict[tuple[str, int], str]:
    """(Node with several results, index) → the exported node that takes that result."""
    return {
        (node.args[0].name, node.args[1]): node.name
        for node in program.graph.nodes
        if node.op == "call_function" and node.target is operator.getitem
    }


def _named(node: Node, parts: Mapping[tuple[str, int], str]) -> tuple[str, str | None, str | None]:
    module = module_of(node)
    # Sizes that the lowering asks for carry torch's stand-in for a module's path.
    known = module and not module.startswith("_empty_nn_module_stack")
    return node.name, _exported(node, parts), module if known else None


def _exported(node: Node, parts: Mapping[tuple[str, int], str]) -> str | None:
    """The node of the exported graph that an edge node came from."""
    name, sources = None, node.meta.get("from_node")
    while sources:
        name, sources = sources[-1].name, sources[-1].from_node
    if name is not None and node.target is operator.getitem:
        return parts.get((name, node.args[1]), name if _is_only_result(node) else None)
    return name


def _is_only_result(node: Node) -> bool:
    """Whether an operator with several results was put in for one with one, e.g. a norm's."""
    return node.args[1] == 0


def _kernels(plan: Any, program: ExportedProgram) -> Iterator[list[Any]]:
    """Operators outside delegates, as far as the emitter's debug handles tell them."""
    calls = {
        index: plan.operators[instruction.instr_args.op_index]
        for index, instruction in enumerate(plan.chains[0].instructions)
        if hasattr(instruction.instr_args, "op_index")
    }
    for node in program.graph.nodes:
        index = node.meta.get("debug_handle")
        called = calls.get(index) if isinstance(index, int) else None
        # The handles of a branch's nodes count from the branch's start: only a match is believed.
        if called is None or node.op != "call_function" or not hasattr(node.target, "_schema"):
            continue
        if node.target._schema.name == called.name:
            yield [index, *_named(node, {})]
