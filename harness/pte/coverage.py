"""What of a `.pte` is delegated, read from the file itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.pte.payload import MLXGraph, read_payload
from harness.pte.plan import MLX_BACKEND, DelegateCall, KernelCall, Plan
from harness.pte.program import Program, read_program

__all__ = ["MethodDelegation", "delegate_graph", "delegation", "plan_delegation"]


@dataclass(frozen=True)
class MethodDelegation:
    """How one method is split between delegates and CPU kernels.

    Attributes
    ----------
    delegates
        Backend id → number of delegate calls.
    kernel_calls
        Operators that run outside delegates, in call order, repeats included.
    nodes
        Nodes in the main chains of the MLX delegates.
    node_counts
        Node type → how many of `nodes`.
    """

    method: str
    delegates: Mapping[str, int]
    kernel_calls: tuple[str, ...]
    nodes: int
    node_counts: Mapping[str, int]


def delegation(path: Path) -> tuple[MethodDelegation, ...]:
    """Delegation of every method of a `.pte`, constant methods included (they have none).

    Raises
    ------
    ProgramError
        The file is missing, truncated, damaged or not a program.
    """
    program = read_program(path)
    try:
        return tuple(
            plan_delegation(
                plan,
                {
                    index: delegate_graph(program, plan, index)
                    for index, delegate in enumerate(plan.delegates)
                    if delegate.backend == MLX_BACKEND
                },
            )
            for plan in program.plans.values()
        )
    finally:
        program.close()


def delegate_graph(program: Program, plan: Plan, index: int) -> MLXGraph:
    """Decode the payload of the plan's delegate number `index`."""
    with program.data(plan.delegates[index].payload) as data:
        return read_payload(data, f"delegate {index} of {plan.name!r} in {program.path}")


def plan_delegation(plan: Plan, graphs: Mapping[int, MLXGraph]) -> MethodDelegation:
    """Delegation of one method, from its plan and the decoded payloads of its MLX delegates."""
    delegates: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for call in plan.instructions:
        if isinstance(call, DelegateCall):
            delegates[plan.delegates[call.delegate].backend] += 1
            if call.delegate in graphs:
                counts += graphs[call.delegate].node_counts()
    return MethodDelegation(
        method=plan.name,
        delegates=dict(delegates),
        kernel_calls=tuple(c.operator for c in plan.instructions if isinstance(c, KernelCall)),
        nodes=counts.total(),
        node_counts=dict(sorted(counts.items())),
    )
