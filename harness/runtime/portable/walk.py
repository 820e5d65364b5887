"""Walk through a plan's instructions: delegates, kernels, moves, jumps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from harness.errors import ExecutionError, HarnessError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import (
    DelegateCall,
    FreeCall,
    Instruction,
    KernelCall,
    MoveCall,
    Plan,
    TensorValue,
    Value,
)
from harness.runtime.portable.blas import mx
from harness.runtime.portable.delegate import Buffers, MLXDelegate
from harness.runtime.portable.kernels import Kernel
from harness.runtime.portable.memory import Memory
from harness.runtime.portable.refusals import attributed, prefixed
from harness.runtime.portable.tensors import mlx_dtype, to_mlx, to_numpy

__all__ = ["Call", "Code", "Location", "Observer", "is_contiguous", "located"]


class Location(NamedTuple):
    """A place in a method's program where something is made."""

    instruction: int  # index in the plan
    chain: int | None = None
    node: int | None = None


Observer = Callable[[Location, Any, tuple[Any, ...]], tuple[Any, ...] | None]
"""Called after each node and kernel with its location, the node or call, and what it made.

MLX arrays in a delegate, numpy arrays from a kernel, or numbers. What it returns, unless None,
takes the place of what was made; raising `interpreter.Stop` ends the run.
"""


@dataclass
class Call:
    """One call of a method, under way."""

    values: list[Any]
    memory: Memory  # where tensors are put
    buffers: Mapping[int, Buffers]  # mutable buffers of the delegates; brought up to date
    observer: Observer | None = None  # shown every step
    unaccelerated: Collection[int] = ()

    def write(self, index: int, value: Any) -> None:
        """Put a value in its place."""
        if isinstance(value, np.ndarray):
            target = self.memory.tensor(index, value.shape)
            np.copyto(target, value)
            value = target
        self.values[index] = value


@dataclass(frozen=True)
class Code:
    """The instructions of a method, and what runs them."""

    plan: Plan
    delegates: Mapping[int, MLXDelegate]
    kernels: Mapping[str, Kernel]  # operator → what runs it
    max_turns: int  # how often each jump may go back: loops run over a tensor's first dimension

    def run(self, call: Call) -> None:
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
                raise located(self.plan, position, error) from error
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

        given = [self._argument(call, index) for index in instruction.args[:count]]
        buffers = call.buffers[instruction.delegate]
        made = delegate.run(given, buffers, observer, position not in call.unaccelerated)
        targets = instruction.args[count:]
        try:
            outputs = [
                _output(value, self.plan.values[index])
                for value, index in zip(made, targets, strict=True)
            ]
            del made
            mx.eval([o for o in outputs if isinstance(o, mx.array)], buffers)
        except Exception as error:
            found = attributed(error)
            if found is None:
                raise
            raise found from error
        for index, output in zip(targets, outputs, strict=True):
            call.write(index, to_numpy(output) if isinstance(output, mx.array) else output)

    def _argument(self, call: Call, index: int) -> Any:
        """A value as a delegate takes it."""
        value, declared = call.values[index], self.plan.values[index]
        if value is None:
            raise ExecutionError(f"value {index} is read before it was written")
        if not isinstance(value, np.ndarray):
            return value
        if isinstance(declared, TensorValue):
            _require_contiguous(declared, "an input of a delegate")
            mlx_dtype(declared.scalar_type)
            if value.dtype == SCALAR_TYPES[declared.scalar_type].numpy:
                return to_mlx(value)
        raise ExecutionError(f"value {index} is not of the type that the plan declares")


def _output(made: Any, declared: Value) -> Any:
    """What a delegate made, cast to the declared type, if it fits the declared shape."""
    if not isinstance(made, mx.array):
        return made
    if not isinstance(declared, TensorValue):
        raise ExecutionError("its delegate makes a tensor where the plan has none")
    _require_contiguous(declared, "an output")
    shape = tuple(made.shape)
    if not declared.takes(shape):
        raise ExecutionError(
            f"its delegate makes a tensor of shape {shape}, expected "
            f"{'at most ' if declared.dynamic else ''}{declared.sizes}"
        )
    return mx.contiguous(made).astype(mlx_dtype(declared.scalar_type))


def located(plan: Plan, position: int, error: HarnessError) -> HarnessError:
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


def is_contiguous(value: TensorValue) -> bool:
    """Whether a tensor lies in C order."""
    return value.dim_order == tuple(range(len(value.sizes)))


def _require_contiguous(value: TensorValue, what: str) -> None:
    """MLX's delegate copies tensors in C order, whatever layout the plan declares."""
    if not is_contiguous(value):
        raise ExecutionError(
            f"{what} has the memory layout {value.dim_order}, which MLX's delegate ignores; "
            "export it contiguous"
        )
