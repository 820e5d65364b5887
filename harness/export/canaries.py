"""Canaries as a `.pte`, for executors that run nothing else: ExecuTorch's own runtime.

Their nodes are written as they are, by upstream's serialiser, with no lowering between: one method,
and one delegate in it, for each kind of product in each element type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import to_torch
from harness.cache import Recipe, fetch, maker
from harness.export.artifacts import LOWERED, LOWERED_BY, STACK
from harness.export.patching import listed_once
from harness.pte.canaries import Canary, canaries
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.payload import Tid
from harness.pte.plan import MLX_BACKEND
from harness.upstream import enable_mlx_exporter, parts, quiet

__all__ = ["canary_program", "grouped"]

_FILE = "canaries.pte"
_NUMBERS = {scalar.name: scalar.number for scalar in SCALAR_TYPES.values()}


def grouped() -> dict[str, list[Canary]]:
    """The canaries of each method; its inputs are their operands, one canary after another."""
    found: dict[str, list[Canary]] = {}
    for canary in canaries():
        found.setdefault(f"{canary.kind}_{canary.dtype}", []).append(canary)
    return found


def canary_program() -> Path:
    """The program, made once for each version of what makes it."""
    packages = parts(*LOWERED, *LOWERED_BY["mlx"], quantized=False)
    facts = maker("harness.export.canaries", stack=STACK, packages=packages)
    recipe = Recipe("canaries", _FILE, facts, "products with known results", "exporting")
    return fetch(recipe, lambda scratch: write(scratch / _FILE, grouped())).path / _FILE


def write(path: Path, methods: Mapping[str, Sequence[Canary]]) -> None:
    """Write a program with these methods."""
    enable_mlx_exporter()
    with quiet(), listed_once():
        from executorch.exir import EdgeCompileConfig, to_edge

        programs = {name: _method(group) for name, group in methods.items()}
        config = EdgeCompileConfig(_check_ir_validity=False)  # it knows nothing of delegates
        program = to_edge(programs, compile_config=config).to_executorch()
    with path.open("wb") as file:
        program.write_to_file(file)


def _method(group: Sequence[Canary]) -> Any:
    """A traced method that is one call of a delegate."""
    import torch
    from executorch.exir import to_edge
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    operands = tuple(to_torch(np.array(t)) for canary in group for t in canary.tensors)
    results = [(canary.wanted.shape, getattr(torch, canary.dtype)) for canary in group]

    class Shapes(torch.nn.Module):
        """Stands for what the delegate makes."""

        def forward(self, *given: Any) -> tuple[Any, ...]:
            return tuple(torch.zeros(shape, dtype=dtype) for shape, dtype in results)

    class Call(torch.nn.Module):
        def __init__(self, delegate: Any) -> None:
            super().__init__()
            self.delegate = delegate

        def forward(self, *given: Any) -> Any:
            return self.delegate(*given)

    shapes = to_edge(torch.export.export(Shapes(), operands, strict=False)).exported_program()
    delegate = LoweredBackendModule(shapes, MLX_BACKEND, _payload(group), [])
    return torch.export.export(Call(delegate), operands, strict=False)


def _payload(group: Sequence[Canary]) -> bytes:
    """The MLX graph of several canaries: slots of inputs, of outputs, then temporaries."""
    import executorch.backends.mlx.serialization.mlx_graph_schema as schema
    from executorch.backends.mlx.serialization.mlx_graph_serialize import serialize_mlx_graph

    inputs = sum(len(canary.tensors) for canary in group)
    first, temporary = 0, inputs + len(group)
    chain, results = [], []
    for number, canary in enumerate(group):
        slots = [*range(first, first + len(canary.tensors))]
        slots += range(temporary, temporary + len(canary.steps) - 1)
        slots.append(inputs + number)
        for step, (name, fields) in enumerate(canary.steps):
            out = Tid(len(canary.tensors) + step)
            given = {f: _field(schema, f, v, slots) for f, v in {**fields, "out": out}.items()}
            chain.append(schema.Instruction(op=getattr(schema, name)(**given)))
        first, temporary = first + len(canary.tensors), temporary + len(canary.steps) - 1
        results.append(_meta(schema, canary.wanted.shape, canary.dtype))
    operands = [_meta(schema, t.shape, t.dtype.name) for c in group for t in c.tensors]
    return serialize_mlx_graph(
        schema.MLXGraph(
            instruction_chains=[schema.InstructionChain(instructions=chain)],
            version="1",
            num_input_tensors=inputs,
            num_output_tensors=len(group),
            num_temp_tensors=temporary - inputs - len(group),
            input_map=[schema.SlotVariant(idx=slot) for slot in range(inputs)],
            output_map=[schema.SlotVariant(idx=inputs + slot) for slot in range(len(group))],
            mutable_buffer_map=[],
            named_slots=[],
            tensor_meta=operands + results,
        )
    )


def _field(schema: Any, name: str, value: Any, slots: Sequence[int]) -> Any:
    """A node's field as the serialiser takes it."""
    if isinstance(value, Tid):
        return schema.Tid(idx=slots[value.idx])
    if name == "shape":
        return [schema.IntOrVid(literal=size, is_vid=False) for size in value]
    return list(value) if isinstance(value, tuple) else value


def _meta(schema: Any, shape: Sequence[int], dtype: str) -> Any:
    sizes = [schema.ShapeDim(value=size, min_value=size, max_value=size) for size in shape]
    return schema.TensorMeta(
        shape=sizes, scalar_type=_NUMBERS[dtype], dim_order=list(range(len(sizes)))
    )
