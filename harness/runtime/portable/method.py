"""Run one method: the instructions of its plan, with the delegates and kernels among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    ProgramError,
    UnavailableError,
    UnsupportedError,
)
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.payload import MLXGraph
from harness.pte.plan import XNNPACK_BACKEND, DelegateCall, KernelCall, Plan, TensorValue, Value
from harness.pte.program import Program
from harness.runtime.portable.delegate import Buffers, MLXDelegate
from harness.runtime.portable.fp32_weights import Fp32Weights
from harness.runtime.portable.kernels import find_kernel
from harness.runtime.portable.memory import Arenas, Memory, in_layout
from harness.runtime.portable.walk import Call, Code, Observer, is_contiguous, located
from harness.runtime.protocol import TensorSpec, check_inputs

__all__ = ["Method", "State", "input_specs"]

# numpy's names of the scalar kinds that a plan's values can be; bool first, being an int too.
_SCALAR_KINDS = ((bool, "bool"), (int, "int64"), (float, "float64"))

_RUNNERS = {XNNPACK_BACKEND: "the executor xnnpack (`--executor xnnpack`)"}
"""Backend → what runs it; ExecuTorch's own runtime where it is built with the backend."""


@dataclass
class State:
    """What a method keeps from call to call: its delegates' buffers and its planned memory."""

    buffers: dict[int, Buffers]
    arenas: Arenas


def input_specs(plan: Plan) -> tuple[TensorSpec, ...]:
    """Declared inputs of a method; a number has shape ()."""
    return tuple(_spec(plan, plan.values[index]) for index in plan.inputs)


def _spec(plan: Plan, value: Value) -> TensorSpec:
    if isinstance(value, TensorValue):
        return TensorSpec(SCALAR_TYPES[value.scalar_type].name, value.sizes, value.dynamic)
    for kind, name in _SCALAR_KINDS:
        if isinstance(value, kind):
            return TensorSpec(name, ())
    raise ProgramError(
        f"method {plan.name!r} takes an input that is neither tensor nor number, which is not "
        "supported here; export it with tensors"
    )


@dataclass
class Method:
    """A method that is ready to run."""

    plan: Plan
    program: Program
    code: Code
    specs: Sequence[TensorSpec]  # declared inputs
    initial: Sequence[Any]

    @property
    def delegates(self) -> Mapping[int, MLXDelegate]:
        """By their index in the plan."""
        return self.code.delegates

    @classmethod
    def load(
        cls,
        program: Program,
        plan: Plan,
        graphs: Mapping[int, MLXGraph],
        faithful: bool = False,
        fp32_weights: Mapping[int, Fp32Weights] | None = None,
    ) -> Method:
        """Read the weights in and run the delegates' init chains; see `MLXDelegate.load`."""
        where = f"method {plan.name!r}"
        _refuse_other_backends(plan, graphs)
        kernels = {}
        for position, call in enumerate(plan.instructions):
            if isinstance(call, KernelCall) and call.operator not in kernels:
                try:
                    kernels[call.operator] = find_kernel(call.operator)
                except HarnessError as error:
                    raise located(plan, position, error) from error
        tensors = [value for value in plan.values if isinstance(value, TensorValue)]
        copies = fp32_weights or {}
        delegates = {
            index: MLXDelegate.load(program, graph, where, faithful, copies.get(index))
            for index, graph in graphs.items()
        }
        turns = max((size for tensor in tensors for size in tensor.sizes), default=0)
        return cls(
            plan,
            program,
            Code(plan, delegates, kernels, turns),
            input_specs(plan),
            [_initial(program, plan, value) for value in plan.values],
        )

    def fresh(self) -> State:
        """What a new state starts from."""
        buffers = {index: list(delegate.fresh) for index, delegate in self.delegates.items()}
        memory = Memory(self.plan, Memory.fresh_arenas(self.plan))
        for index, value in enumerate(self.plan.values):
            if isinstance(value, TensorValue) and value.place is not None and value.data:
                np.copyto(memory.tensor(index), _read(self.program, value))
        return State(buffers, memory.arenas)

    def call(
        self,
        inputs: Sequence[Array],
        state: State,
        observer: Observer | None = None,  # shown every step
        unaccelerated: Collection[int] = (),
    ) -> list[Array]:
        """Run once; `state` is brought up to date."""
        memory = Memory(self.plan, state.arenas)
        values = list(self.initial)
        for index, value in enumerate(self.plan.values):
            # A view that planning elided has no instruction that would make it.
            if isinstance(value, TensorValue) and value.place is not None and not value.dynamic:
                values[index] = memory.tensor(index)
        self._take(inputs, values, memory)
        self.code.run(Call(values, memory, state.buffers, observer, unaccelerated))
        return [self._result(index, values[index]) for index in self.plan.outputs]

    def _take(self, inputs: Sequence[Array], values: list[Any], memory: Memory) -> None:
        """Put the inputs in their places, refused as the ExecuTorch runtime refuses them."""
        name = self.plan.name
        for i, array in enumerate(check_inputs(name, self.specs, inputs)):
            index = self.plan.inputs[i]
            value = self.plan.values[index]
            if isinstance(value, TensorValue):
                # A kernel may write to an input; the caller's array stays as it is.
                if self.code.kernels or value.place is not None or not is_contiguous(value):
                    values[index] = memory.tensor(index, array.shape)
                    np.copyto(values[index], array)
                else:
                    values[index] = array
            elif array.item() != value:
                raise InputError(f"input {i} of {name} was exported as {value} (got {array})")

    def _result(self, index: int, value: Any) -> Array:
        declared = self.plan.values[index]
        if isinstance(value, np.ndarray):
            return np.array(value, order="C")
        if value is None and isinstance(declared, TensorValue):
            raise ExecutionError(f"method {self.plan.name!r}: an output was never written")
        for kind, name in _SCALAR_KINDS:
            if isinstance(value, kind):
                return np.asarray(value, dtype=name)
        if isinstance(value, (str, tuple)):
            return np.asarray(value)
        raise UnsupportedError(
            f"method {self.plan.name!r} returns a {type(value).__name__}: not supported here"
        )


def _initial(program: Program, plan: Plan, value: Value) -> Any:
    if not isinstance(value, TensorValue):
        return value
    if value.external is not None and value.data is None:
        raise ProgramError(
            f"method {plan.name!r} needs {value.external!r}, which {program.path} keeps in another "
            "file; give the .ptd that was exported with it"
        )
    return None if value.data is None or value.place is not None else _read(program, value)


def _read(program: Program, value: TensorValue) -> Array:
    """A tensor's contents in the file, as a read-only view of it."""
    assert value.data is not None
    flat = np.frombuffer(program.data(value.data), SCALAR_TYPES[value.scalar_type].numpy)
    return in_layout(flat, value.sizes, value.dim_order)


def _refuse_other_backends(plan: Plan, graphs: Mapping[int, MLXGraph]) -> None:
    called = [c.delegate for c in plan.instructions if isinstance(c, DelegateCall)]
    for index in called:
        if index not in graphs:
            backend = plan.delegates[index].backend
            runner = _RUNNERS.get(backend, f"an ExecuTorch runtime with {backend}")
            raise UnavailableError(
                f"method {plan.name!r} is lowered to {backend}, and the portable executor runs "
                f"MLX delegates only: {runner} runs it, or lower it to MLX"
            )
