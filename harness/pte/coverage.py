"""What of a `.pte` is delegated, read from the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.pte.payload import MLXGraph, read_payload
from harness.pte.plan import DelegateCall, KernelCall, Plan
from harness.pte.program import Program, read_program

__all__ = ["MLX_BACKEND", "MethodDelegation", "delegate_graph", "delegation"]

MLX_BACKEND = "MLXBackend"


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
        return tuple(_of_plan(program, plan) for plan in program.plans.values())
    finally:
        program.close()


def delegate_graph(program: Program, plan: Plan, index: int) -> MLXGraph:
    """Decode the payload of the plan's delegate number `index`."""
    with program.data(plan.delegates[index].payload) as data:
        return read_payload(data, f"delegate {index} of {plan.name!r} in {program.path}")


def _of_plan(program: Program, plan: Plan) -> MethodDelegation:
    delegates: dict[str, int] = {}
    counts: dict[str, int] = {}
    for call in plan.instructions:
        if not isinstance(call, DelegateCall):
            continue
        backend = plan.delegates[call.delegate].backend
        delegates[backend] = delegates.get(backend, 0) + 1
        if backend == MLX_BACKEND:
            for name, count in delegate_graph(program, plan, call.delegate).node_counts().items():
                counts[name] = counts.get(name, 0) + count
    return MethodDelegation(
        method=plan.name,
        delegates=delegates,
        kernel_calls=tuple(c.operator for c in plan.instructions if isinstance(c, KernelCall)),
        nodes=sum(counts.values()),
        node_counts=dict(sorted(counts.items())),
    )
