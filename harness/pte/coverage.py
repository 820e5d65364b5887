"""What of a `.pte` is delegated, read from the file itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path

from harness.errors import ProgramError
from harness.pte.payload import MLXGraph, read_payload
from harness.pte.plan import MLX_BACKEND, DelegateCall, KernelCall, Plan
from harness.pte.program import Program, read_program

__all__ = [
    "MethodDelegation",
    "called_graphs",
    "delegate_graph",
    "delegation",
    "mlx_graphs",
    "plan_delegation",
]


@dataclass(frozen=True)
class MethodDelegation:
    """How one method is split between delegates and CPU kernels.

    Attributes
    ----------
    delegates
        Backend id → number of delegate calls.
    kernel_calls
        Operators that run outside delegates, in call order, repeats included.
    node_counts
        Node type → how many are in the main chains of the MLX delegates.
    """

    method: str
    delegates: Mapping[str, int]
    kernel_calls: tuple[str, ...]
    node_counts: Mapping[str, int]

    @property
    def nodes(self) -> int:
        """Nodes in the main chains of the MLX delegates."""
        return sum(self.node_counts.values())


def delegation(path: Path) -> tuple[MethodDelegation, ...]:
    """Delegation of every method of a `.pte`, constant methods included; raises `ProgramError`."""
    with closing(read_program(path)) as program:
        plans = program.plans.values()
        return tuple(plan_delegation(plan, mlx_graphs(program, plan)) for plan in plans)


def delegate_graph(program: Program, plan: Plan, index: int) -> MLXGraph:
    """Decode the payload of the plan's delegate number `index`."""
    with program.data(plan.delegates[index].payload) as data:
        return read_payload(data, f"delegate {index} of {plan.name!r} in {program.path}")


def mlx_graphs(program: Program, plan: Plan) -> dict[int, MLXGraph]:
    """The decoded MLX delegates of a plan, by number."""
    return {
        index: delegate_graph(program, plan, index)
        for index, delegate in enumerate(plan.delegates)
        if delegate.backend == MLX_BACKEND
    }


def called_graphs(program: Program, plan: Plan) -> dict[int, MLXGraph]:
    """The MLX delegates that a plan calls, their weights known to be in the file.

    Raises
    ------
    ProgramError
        A weight is not there, or not of the size of its shape.
    """
    graphs = {}
    for call in plan.instructions:
        if isinstance(call, DelegateCall) and plan.delegates[call.delegate].backend == MLX_BACKEND:
            graphs[call.delegate] = delegate_graph(program, plan, call.delegate)
            _check_constants(program, graphs[call.delegate], f"method {plan.name!r}")
    return graphs


def _check_constants(program: Program, graph: MLXGraph, where: str) -> None:
    """Every constant of `graph` lies in the program's named data, with the size of its shape."""
    for index in range(graph.constants):
        meta = graph.meta[index] if index < len(graph.meta) else None
        name = graph.names.get(index)
        if meta is None or name is None or any(dim.size is None for dim in meta.shape):
            raise ProgramError(
                f"{where} has a constant {index} without name or shape; export it again"
            )
        span = program.named_data.get(name)
        if span is None:
            raise ProgramError(f"{where} needs the weight {name!r}, which {program.path} lacks")
        expected = prod(meta.sizes) * meta.scalar.numpy.itemsize
        if span.size != expected:
            raise ProgramError(
                f"{where} needs {expected} bytes of the weight {name!r}, {program.path} has "
                f"{span.size}; export it again"
            )


def plan_delegation(plan: Plan, graphs: Mapping[int, MLXGraph]) -> MethodDelegation:
    """Delegation of one method, from its plan and its `mlx_graphs`."""
    called = [call.delegate for call in plan.instructions if isinstance(call, DelegateCall)]
    counts = Counter(
        type(node).__name__
        for index in called
        if index in graphs
        for node in graphs[index].chains[graphs[index].main]
    )
    return MethodDelegation(
        method=plan.name,
        delegates=dict(Counter(plan.delegates[index].backend for index in called)),
        kernel_calls=tuple(c.operator for c in plan.instructions if isinstance(c, KernelCall)),
        node_counts=dict(sorted(counts.items())),
    )
