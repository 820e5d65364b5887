"""Read what is in a `.pte`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from harness.errors import InputError, one_of
from harness.pte.coverage import mlx_graphs, plan_delegation
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.inspection.instructions import UNKNOWN, chains, declared, quantized, slot
from harness.pte.inspection.model import (
    Constant,
    Contents,
    DelegateContents,
    MethodContents,
    PlanInstruction,
    Slot,
    Tensor,
)
from harness.pte.metadata import is_constant, metadata
from harness.pte.names import StepNames, as_exported, read_names
from harness.pte.payload import MLXGraph, Tid
from harness.pte.plan import (
    Delegate,
    DelegateCall,
    FreeCall,
    Instruction,
    IntList,
    JumpFalseCall,
    KernelCall,
    MoveCall,
    Plan,
    Span,
    TensorList,
    TensorValue,
)
from harness.pte.program import Program, read_program

__all__ = ["read_contents"]

# What the emitter writes for sizes and control flow does no work of its own.
_BOOKKEEPING = ("executorch_prim::", "aten::sym_", "aten::_local_scalar_dense")


def read_contents(path: Path, data: Sequence[Path] = (), method: str | None = None) -> Contents:
    """Read a `.pte`, and the `.ptd` files that go with it, or only one of its methods.

    Raises
    ------
    ProgramError
        A file is missing, truncated, damaged or not what it should be.
    InputError
        There is no such method.
    """
    with closing(read_program(path, data)) as program:
        plans = program.plans
        if method is not None:
            one_of("method", method, plans)
            plans = {method: plans[method]}
        names, known = _names(program)
        graphs = {name: mlx_graphs(program, plan) for name, plan in plans.items()}
        return Contents(
            path=path,
            bytes=path.stat().st_size,
            data=tuple(data),
            intact=as_exported(path),
            names=known,
            methods=tuple(
                _method(plan, graphs[name], names.get(name, StepNames()))
                for name, plan in plans.items()
                if not is_constant(plan)
            ),
            metadata={k: v for k, v in metadata(program).items() if k in plans},
            constants=tuple(_constants(program, plans, graphs)),
        )


def _names(program: Program) -> tuple[Mapping[str, StepNames], str]:
    """The names beside a program, and what they tell (`Contents.names`)."""
    try:
        names = read_names(program)
    except InputError:
        return {}, "another file"  # which takes nothing from what the program says
    if any(method.types for method in names.values()):
        return names, "types"
    return names, "origins" if names else "nothing"


def _method(plan: Plan, graphs: Mapping[int, MLXGraph], names: StepNames) -> MethodContents:
    calls = {i: call for i, call in enumerate(plan.instructions) if isinstance(call, DelegateCall)}
    at = {call.delegate: position for position, call in calls.items()}
    told = plan_delegation(plan, graphs)
    exact = _open_sizes(calls.values(), graphs)
    return MethodContents(
        name=plan.name,
        inputs=tuple(_border(plan, index, exact) for index in plan.inputs),
        outputs=tuple(_border(plan, index, exact) for index in plan.outputs),
        delegates=tuple(
            _delegate(index, delegate, graphs.get(index), names, at.get(index, -1))
            for index, delegate in enumerate(plan.delegates)
        ),
        kernels=Counter(name for name in told.kernel_calls if not name.startswith(_BOOKKEEPING)),
        nodes=told.nodes,
        planned=sum(plan.arenas),
        instructions=tuple(_instruction(plan, i, call) for i, call in enumerate(plan.instructions)),
        quantized=tuple(layer for i in at if i in graphs for layer in quantized(graphs[i])),
    )


def _delegate(
    index: int, delegate: Delegate, graph: MLXGraph | None, names: StepNames, at: int
) -> DelegateContents:
    payload = delegate.payload
    return DelegateContents(
        index=index,
        backend=delegate.backend,
        bytes=payload.size if isinstance(payload, Span) else len(payload),
        chains=None if graph is None else chains(graph, names, at),
        buffers=() if graph is None else tuple(slot(graph, tid) for tid in graph.buffers),
    )


def _open_sizes(calls: Iterable[DelegateCall], graphs: Mapping[int, MLXGraph]) -> dict[int, Tensor]:
    """Types of values as MLX delegates declare them: a plan says less of what is open."""
    return {
        index: declared(graph, tid.idx)
        for call in calls
        if (graph := graphs.get(call.delegate)) is not None
        for index, tid in zip(call.args, (*graph.inputs, *graph.outputs), strict=False)
        if isinstance(tid, Tid)
    }


def _planned(value: TensorValue) -> Tensor:
    """What a plan says of a tensor."""
    name = SCALAR_TYPES[value.scalar_type].name
    if not value.dynamic:
        return Tensor(name, value.sizes)
    # A plan says that a shape is open, not which of its dimensions are.
    return Tensor(name, (None,) * len(value.sizes), value.sizes)


def _border(plan: Plan, index: int, exact: Mapping[int, Tensor]) -> Slot:
    """An input or output of a method, its open sizes told from its fixed ones if possible."""
    slot, known = _value(plan, index), exact.get(index)
    if slot.tensor is None or slot.tensor.most is None or known is None or known.shape is None:
        return slot
    most = slot.tensor.most
    if known.dtype != slot.tensor.dtype or len(known.shape) != len(most):
        return slot
    return replace(slot, tensor=Tensor(known.dtype, known.shape, most))


def _instruction(plan: Plan, index: int, call: Instruction) -> PlanInstruction:
    kind, what, values = _TOLD[type(call)](call)
    return PlanInstruction(index, kind, what, tuple(_value(plan, value) for value in values))


_TOLD: Mapping[type, Callable[[Any], tuple[str, int | str | None, tuple[int, ...]]]] = {
    DelegateCall: lambda call: ("delegate", call.delegate, call.args),
    KernelCall: lambda call: ("kernel", call.operator, call.args),
    MoveCall: lambda call: ("move", None, (call.source, call.target)),
    JumpFalseCall: lambda call: ("jump if false", call.destination, (call.condition,)),
    FreeCall: lambda call: ("free", None, (call.value,)),
}
"""Kind of an instruction → its kind in words, what it names, and the values it names."""


def _value(plan: Plan, index: int) -> Slot:
    """A value of a plan."""
    value = plan.values[index]
    if isinstance(value, (TensorList, IntList)):
        return Slot(index, "list", None, None, value.items)
    if not isinstance(value, TensorValue):
        return Slot(index, "value", None, None, value)
    if index in plan.inputs:
        kind = "input"
    elif index in plan.outputs:
        kind = "output"
    elif value.place is None and (value.data is not None or value.external is not None):
        kind = "constant"
    else:
        kind = "buffer" if value.data is not None else "temporary"
    return Slot(index, kind, value.external, _planned(value))


def _constants(
    program: Program,
    plans: Mapping[str, Plan],
    graphs: Mapping[str, Mapping[int, MLXGraph]],
) -> Iterator[Constant]:
    """Named contents with their users, then the plans' own constants."""
    types: dict[str, Tensor] = {}
    users: dict[str, dict[str, None]] = {}
    for method, found in graphs.items():
        for graph in found.values():
            for index in range(graph.constants):
                if (name := graph.names.get(index)) is not None:
                    types.setdefault(name, declared(graph, index))
                    users.setdefault(name, {})[method] = None
    values: dict[str, Constant] = {}
    for method, plan in plans.items():
        for index, value in enumerate(plan.values):
            if isinstance(value, TensorValue) and (value.data is not None or value.external):
                scalar = SCALAR_TYPES[value.scalar_type]
                name = value.external or f"value {index} of {method}"
                inside = 0 if value.data is not None else None
                values[name] = Constant(
                    name,
                    Tensor(scalar.name, value.sizes),
                    prod(value.sizes) * scalar.numpy.itemsize,
                    (method,),
                    value.data.file if isinstance(value.data, Span) else inside,
                )
    for name, span in program.named_data.items():
        if name in values or (len(plans) < len(program.plans) and name not in users):
            continue
        yield Constant(
            name, types.get(name, UNKNOWN), span.size, tuple(users.get(name, ())), span.file
        )
    yield from values.values()
    for name in users:
        if name not in program.named_data:
            yield Constant(name, types[name], 0, tuple(users[name]), None)
