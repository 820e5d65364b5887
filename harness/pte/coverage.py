"""What of a `.pte` is delegated, read from the file itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.pte.payload import MLXGraph, read_payload
from harness.pte.plan import MLX_BACKEND, DelegateCall, KernelCall, Plan
from harness.pte.program import Program, read_program

__all__ = ["MethodDelegation", "delegate_graph", "delegation", "mlx_graphs", "plan_delegation"]


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
