"""Read what is in a `.pte`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

from harness.errors import InputError
from harness.pte.coverage import delegate_graph
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
    MLX_BACKEND,
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
    """Read a `.pte`, and the `.ptd` files that go with it.

    Parameters
    ----------
    method
        Read only this one of its methods.

    Raises
    ------
    ProgramError
        A file is missing, truncated, damaged or not what it should be.
    InputError
        There is no such method.
    """
    program = read_program(path, data)
    try:
        plans = program.plans
        if method is not None:
            if method not in plans:
                raise InputError(f"method must be one of {', '.join(plans)} (got {method!r})")
            plans = {method: plans[method]}
        names, known = _names(program)
        graphs = {
            (name, index): delegate_graph(program, plan, index)
            for name, plan in plans.items()
            for index, delegate in enumerate(plan.delegates)
            if delegate.backend == MLX_BACKEND
        }
        return Contents(
            path=path,
            bytes=path.stat().st_size,
            data=tuple(data),
            intact=as_exported(path),
            names=known,
            methods=tuple(
                _method(plan, graphs, names.get(name, StepNames()))
                for name, plan in plans.items()
                if not is_constant(plan)
            ),
            metadata={k: v for k, v in metadata(program).items() if k in plans},
            constants=tuple(_constants(program, plans, graphs)),
        )
    finally:
        program.close()


def _names(program: Program) -> tuple[Mapping[str, StepNames], str]:
    """The names beside a program, and what they tell (`Contents.names`)."""
    try:
        names = read_names(program)
    except InputError:
        return {}, "another file"  # which takes nothing from what the program says
    if any(method.types for method in names.values()):
        return names, "types"
    return names, "origins" if names else "nothing"


def _method(
    plan: Plan, graphs: Mapping[tuple[str, int], MLXGraph], names: StepNames
) -> MethodContents:
    delegates = []
    at = {c.delegate: i for i, c in enumerate(plan.instructions) if isinstance(c, DelegateCall)}
    for index, delegate in enumerate(plan.delegates):
        graph = graphs.get((plan.name, index))
        payload = delegate.payload
        delegates.append(
            DelegateContents(
                index=index,
                backend=delegate.backend,
                bytes=payload.size if isinstance(payload, Span) else len(payload),
                chains=None if graph is None else chains(graph, names, at.get(index, -1)),
                buffers=() if graph is None else tuple(slot(graph, tid) for tid in graph.buffers),
            )
        )
    kernels: dict[str, int] = {}
    for call in plan.instructions:
        if isinstance(call, KernelCall) and not call.operator.startswith(_BOOKKEEPING):
            kernels[call.operator] = kernels.get(call.operator, 0) + 1
    called = [c.delegate for c in plan.instructions if isinstance(c, DelegateCall)]
    exact = _open_sizes(plan, graphs)
    mine = {i: graphs[plan.name, i] for i in called if (plan.name, i) in graphs}
    return MethodContents(
        name=plan.name,
        inputs=tuple(_border(plan, index, exact) for index in plan.inputs),
        outputs=tuple(_border(plan, index, exact) for index in plan.outputs),
        delegates=tuple(delegates),
        kernels=kernels,
        nodes=sum(len(mine[i].chains[mine[i].main]) for i in called if i in mine),
        planned=sum(plan.arenas),
        instructions=tuple(
            PlanInstruction(i, *_instruction(plan, call))
            for i, call in enumerate(plan.instructions)
        ),
        quantized=tuple(layer for graph in mine.values() for layer in quantized(graph)),
    )


def _open_sizes(plan: Plan, graphs: Mapping[tuple[str, int], MLXGraph]) -> dict[int, Tensor]:
    """Types of values as MLX delegates declare them: a plan says less of what is open."""
    found = {}
    for call in plan.instructions:
        if not isinstance(call, DelegateCall) or (plan.name, call.delegate) not in graphs:
            continue
        graph = graphs[plan.name, call.delegate]
        for index, tid in zip(call.args, (*graph.inputs, *graph.outputs), strict=False):
            if isinstance(tid, Tid):
                found[index] = declared(graph, tid.idx)
    return found


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


def _instruction(plan: Plan, call: Instruction) -> tuple[str, int | str | None, tuple[Slot, ...]]:
    def slots(*indices: int) -> tuple[Slot, ...]:
        return tuple(_value(plan, index) for index in indices)

    if isinstance(call, DelegateCall):
        return "delegate", call.delegate, slots(*call.args)
    if isinstance(call, KernelCall):
        return "kernel", call.operator, slots(*call.args)
    if isinstance(call, MoveCall):
        return "move", None, slots(call.source, call.target)
    if isinstance(call, JumpFalseCall):
        return "jump if false", call.destination, slots(call.condition)
    assert isinstance(call, FreeCall)
    return "free", None, slots(call.value)


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
    graphs: Mapping[tuple[str, int], MLXGraph],
) -> Iterator[Constant]:
    """Named contents with their users, then the plans' own constants."""
    types: dict[str, Tensor] = {}
    users: dict[str, list[str]] = {}
    for (method, _), graph in graphs.items():
        for index in range(graph.constants):
            name = graph.names.get(index)
            if name is not None:
                types.setdefault(name, declared(graph, index))
                if method not in users.setdefault(name, []):
                    users[name].append(method)
    values: dict[str, Constant] = {}
    for method, plan in plans.items():
        for index, value in enumerate(plan.values):
            if isinstance(value, TensorValue) and (value.data is not None or value.external):
                tensor = Tensor(SCALAR_TYPES[value.scalar_type].name, value.sizes)
                size = prod(value.sizes) * SCALAR_TYPES[value.scalar_type].numpy.itemsize
                name = value.external or f"value {index} of {method}"
                file = value.data.file if isinstance(value.data, Span) else 0
                values[name] = Constant(
                    name, tensor, size, (method,), file if value.data is not None else None
                )
    for name, span in program.named_data.items():
        if name in values or (len(plans) < len(program.plans) and name not in users):
            continue
        found = types.get(name, UNKNOWN)
        yield Constant(name, found, span.size, tuple(users.get(name, ())), span.file)
    yield from values.values()
    for name in users:
        if name not in program.named_data:
            yield Constant(name, types[name], 0, tuple(users[name]), None)
