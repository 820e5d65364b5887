"""Run one method: the instructions of its plan, with the delegates and kernels among them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from harness.arrays import Array
from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    UnavailableError,
    UnsupportedError,
)
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.payload import MLXGraph
from harness.pte.plan import (
    XNNPACK_BACKEND,
    DelegateCall,
    FreeCall,
    Instruction,
    KernelCall,
    MoveCall,
    Plan,
    TensorValue,
    Value,
)
from harness.pte.program import Program
from harness.runtime.portable.kernels import Kernel, find_kernel
from harness.runtime.portable.memory import (
    Arenas,
    Memory,
    contents,
    initial,
    is_contiguous,
    require_contiguous,
)
from harness.runtime.portable.refusals import prefixed
from harness.runtime.protocol import SCALAR_KINDS, check_inputs, input_specs

__all__ = [
    "Delegate",
    "Entered",
    "Location",
    "Method",
    "Observer",
    "State",
    "refuse_other_backends",
]

_RUNNERS = {XNNPACK_BACKEND: "the executor xnnpack (`--executor xnnpack`)"}
"""Backend → what runs it; ExecuTorch's own runtime where it is built with the backend."""


class Location(NamedTuple):
    """A place in a method's program where something is made."""

    instruction: int  # index in the plan
    chain: int | None = None  # of a delegate's instruction; None for a kernel
    node: int | None = None  # index in the chain


class Delegate(Protocol):
    """Runs the part of a method that a backend took, over arrays of its own kind."""

    graph: MLXGraph
    fresh: list[Any]

    def argument(self, value: Array, declared: TensorValue) -> Any:
        """A tensor of the plan as this delegate takes it."""
        ...

    def run(
        self,
        arguments: Sequence[Any],
        buffers: list[Any],
        observer: Callable[[int, int, Any, tuple[Any, ...]], Any] | None = None,
        accelerated: bool = True,
    ) -> list[Any]:
        """Run once; `buffers` are brought up to date."""
        ...

    def results(self, made: list[Any], declared: Sequence[Value], buffers: list[Any]) -> list[Any]:
        """What `run` made as numpy arrays and numbers of the declared types."""
        ...


class Entered(NamedTuple):
    """A delegate is about to run, on what the observer is given as made, and on these buffers."""

    delegate: Delegate
    buffers: Sequence[Any]


Observer = Callable[[Location, Any, tuple[Any, ...]], tuple[Any, ...] | None]
"""Called after each node and kernel with its location, the node or call, and what it made, and
before each delegate with `Entered` and the delegate's arguments.

MLX arrays in a delegate, numpy arrays from a kernel, or numbers. What it returns, unless None,
takes the place of what was made; raising `interpreter.Stop` ends the run.
"""


@dataclass
class Call:
    """One call of a method, under way."""

    values: list[Any]  # the plan's, so far; None for what was not made yet
    memory: Memory  # where tensors are put
    buffers: Mapping[int, list[Any]]  # mutable buffers of the delegates; brought up to date
    observer: Observer | None = None  # shown every step
    # Instructions whose delegates use nothing that was computed before the call.
    unaccelerated: Collection[int] = ()

    def write(self, index: int, value: Any) -> None:
        """Put a value in its place."""
        if isinstance(value, np.ndarray):
            target = self.memory.tensor(index, value.shape)
            np.copyto(target, value)
            value = target
        self.values[index] = value


@dataclass
class State:
    """What a method keeps from call to call: its delegates' buffers and its planned memory."""

    buffers: dict[int, list[Any]]
    arenas: Arenas


@dataclass
class Method:
    """A method that is ready to run."""

    plan: Plan
    program: Program
    delegates: Mapping[int, Delegate]  # by their index in the plan
    kernels: Mapping[str, Kernel]  # operator → what runs it
    max_turns: int  # how often each jump may go back: loops run over a tensor's first dimension
    initial: Sequence[Any]  # the plan's values before a call; None for what a call fills in

    @classmethod
    def load(
        cls,
        program: Program,
        plan: Plan,
        delegates: Mapping[int, Delegate],
    ) -> Method:
        """Find the kernels, and what the plan's values are before a call."""
        kernels = {}
        for position, call in enumerate(plan.instructions):
            if isinstance(call, KernelCall) and call.operator not in kernels:
                try:
                    kernels[call.operator] = find_kernel(call.operator)
                except HarnessError as error:
                    raise _located(plan, position, error) from error
        tensors = (value for value in plan.values if isinstance(value, TensorValue))
        turns = max((size for tensor in tensors for size in tensor.sizes), default=0)
        values = [initial(program, plan, value) for value in plan.values]
        return cls(plan, program, delegates, kernels, turns, values)

    def fresh(self) -> State:
        """What a new state starts from."""
        buffers = {index: list(delegate.fresh) for index, delegate in self.delegates.items()}
        memory = Memory(self.plan, Memory.fresh_arenas(self.plan))
        for index, value in enumerate(self.plan.values):
            if isinstance(value, TensorValue) and value.place is not None and value.data:
                np.copyto(memory.tensor(index), contents(self.program, value))
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
        self._walk(Call(values, memory, state.buffers, observer, unaccelerated))
        return [self._result(index, values[index]) for index in self.plan.outputs]

    def _take(self, inputs: Sequence[Array], values: list[Any], memory: Memory) -> None:
        """Put the inputs in their places, refused as the ExecuTorch runtime refuses them."""
        name = self.plan.name
        for i, array in enumerate(check_inputs(name, input_specs(self.plan), inputs)):
            index = self.plan.inputs[i]
            value = self.plan.values[index]
            if isinstance(value, TensorValue):
                # A kernel may write to an input; the caller's array stays as it is.
                if self.kernels or value.place is not None or not is_contiguous(value):
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
        if value is None:
            return np.asarray(None)
        if isinstance(value, (bool, int, float, str, tuple)):
            return np.asarray(value, SCALAR_KINDS.get(type(value)))
        raise UnsupportedError(
            f"method {self.plan.name!r} returns a {type(value).__name__}: not supported here"
        )

    def _walk(self, call: Call) -> None:
        """Walk from the first instruction to behind the last."""
        instructions = self.plan.instructions
        turns: dict[int, int] = {}
        position = 0
        while position < len(instructions):
            try:
                target = self._step(call, position, instructions[position])
                if target <= position:
                    turns[position] = turns.get(position, 0) + 1
                    if turns[position] > self.max_turns:
                        raise ExecutionError(f"its loop did not end in {self.max_turns} turns")
            except HarnessError as error:
                raise _located(self.plan, position, error) from error
            position = target

    def _step(self, call: Call, position: int, instruction: Instruction) -> int:
        """Do one instruction; give the position of the next."""
        values = call.values
        if isinstance(instruction, DelegateCall):
            self._delegate(call, position, instruction)
        elif isinstance(instruction, KernelCall):
            self._kernel(call, position, instruction)
        elif isinstance(instruction, MoveCall):
            values[instruction.target] = values[instruction.source]
        elif isinstance(instruction, FreeCall):
            values[instruction.value] = None
        elif not _truth(values[instruction.condition]):
            return instruction.destination
        return position + 1

    def _kernel(self, call: Call, position: int, instruction: KernelCall) -> None:
        """Run an operator, and show what it made."""
        kernel = self.kernels[instruction.operator]
        try:
            written = kernel.run(self.plan, instruction, call.values, call.memory)
        except HarnessError as error:
            raise prefixed(f"op {instruction.operator}", error) from error
        if call.observer is None:
            return
        made = tuple(call.values[index] for index in written)
        instead = call.observer(Location(position), instruction, made)
        if instead is not None:
            for index, value in zip(written, instead, strict=True):
                call.write(index, value)

    def _delegate(self, call: Call, position: int, instruction: DelegateCall) -> None:
        """Run a delegate, which shows its own steps."""
        delegate = self.delegates[instruction.delegate]
        count = len(delegate.graph.inputs)
        if len(instruction.args) != count + len(delegate.graph.outputs):
            raise ExecutionError(f"its delegate does not take {len(instruction.args)} arguments")
        observer = None
        if call.observer is not None:
            observed = call.observer

            def observer(chain: int, index: int, node: Any, made: tuple[Any, ...]) -> Any:
                return observed(Location(position, chain, index), node, made)

        given = [self._argument(call, index, delegate) for index in instruction.args[:count]]
        buffers = call.buffers[instruction.delegate]
        if call.observer is not None:
            call.observer(Location(position), Entered(delegate, buffers), tuple(given))
        targets = instruction.args[count:]
        made = delegate.run(given, buffers, observer, position not in call.unaccelerated)
        outputs = delegate.results(made, [self.plan.values[index] for index in targets], buffers)
        for index, output in zip(targets, outputs, strict=True):
            call.write(index, output)

    def _argument(self, call: Call, index: int, delegate: Delegate) -> Any:
        """A value as a delegate takes it."""
        value, declared = call.values[index], self.plan.values[index]
        if value is None:
            raise ExecutionError(f"value {index} is read before it was written")
        if not isinstance(value, np.ndarray):
            return value
        if isinstance(declared, TensorValue):
            require_contiguous(declared, "an input of a delegate")
            if value.dtype == SCALAR_TYPES[declared.scalar_type].numpy:
                return delegate.argument(value, declared)
        raise ExecutionError(f"value {index} is not of the type that the plan declares")


def _located(plan: Plan, position: int, error: HarnessError) -> HarnessError:
    """`error` with its place, unless it says it already."""
    method = f"method {plan.name!r}, "
    if str(error).startswith(method):
        return error
    return prefixed(f"{method}plan instruction {position}", error)


def _truth(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return bool(value.all())
    if isinstance(value, bool):
        return value
    raise ExecutionError("a jump's condition is not a truth value")


def refuse_other_backends(plan: Plan, graphs: Collection[int]) -> None:
    """Say which executor runs a backend that is not MLX."""
    for call in plan.instructions:
        if isinstance(call, DelegateCall) and call.delegate not in graphs:
            backend = plan.delegates[call.delegate].backend
            runner = _RUNNERS.get(backend, f"an ExecuTorch runtime with {backend}")
            raise UnavailableError(
                f"method {plan.name!r} is lowered to {backend}, and the portable executor runs "
                f"MLX delegates only: {runner} runs it, or lower it to MLX"
            )
