"""Walk through a plan's instructions: delegates, kernels, moves, jumps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

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
from harness.runtime.portable.slots import mlx_dtype, to_mlx, to_numpy

__all__ = ["Spot", "Walk", "Watch", "is_rows", "located"]


@dataclass(frozen=True)
class Spot:
    """A place in a method's program where something is made.

    Attributes
    ----------
    instruction
        Index in the plan.
    chain, node
        Of a delegate's instruction: its chain, and its index there; None for a kernel.
    """

    instruction: int
    chain: int | None = None
    node: int | None = None


Watch = Callable[[Spot, Any, tuple[Any, ...]], tuple[Any, ...] | None]
"""Called after each node and kernel with its spot, the node or call, and what it made.

MLX arrays in a delegate, numpy arrays from a kernel, or numbers. What it returns, unless None,
takes the place of what was made; raising `interpreter.Stop` ends the run.
"""


@dataclass
class Walk:
    """One call of a method, under way.

    Attributes
    ----------
    most_turns
        How often each jump may go back.
    values
        The plan's values so far: numpy arrays, numbers, None for what was not made yet.
    memory
        Where tensors are put.
    buffers
        Mutable buffers of the delegates; brought up to date.
    watch
        Shown every step.
    plain
        Instructions whose delegates use no kept copies of weights.
    """

    plan: Plan
    delegates: Mapping[int, MLXDelegate]
    kernels: Mapping[str, Kernel]
    most_turns: int
    values: list[Any]
    memory: Memory
    buffers: Mapping[int, Buffers]
    watch: Watch | None
    plain: Collection[int]

    def run(self) -> None:
        """Walk from the first instruction to behind the last."""
        instructions = self.plan.instructions
        turns: dict[int, int] = {}
        position = 0
        while position < len(instructions):
            try:
                target = self.step(position, instructions[position])
            except ExecutionError as error:
                raise located(self.plan, position, error) from error
            if target <= position:
                turns[position] = turns.get(position, 0) + 1
                if turns[position] > self.most_turns:
                    message = f"its loop did not end in {self.most_turns} turns"
                    raise located(self.plan, position, ExecutionError(message))
            position = target

    def step(self, position: int, call: Instruction) -> int:
        """Do one instruction; give the position of the next."""
        values = self.values
        if isinstance(call, DelegateCall):
            self.delegate(position, call)
        elif isinstance(call, KernelCall):
            self.kernel(position, call)
        elif isinstance(call, MoveCall):
            values[call.target] = values[call.source]
        elif isinstance(call, FreeCall):
            values[call.value] = None
        elif not _truth(values[call.condition]):
            return call.destination
        return position + 1

    def kernel(self, position: int, call: KernelCall) -> None:
        """Run an operator, and show what it made."""
        try:
            written = self.kernels[call.operator].run(self.plan, call, self.values, self.memory)
        except HarnessError as error:
            raise ExecutionError(f"op {call.operator}: {error}") from error
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExecutionError(f"op {call.operator}: {reason}") from error
        if self.watch is None:
            return
        instead = self.watch(Spot(position), call, tuple(self.values[i] for i in written))
        if instead is not None:
            for index, value in zip(written, instead, strict=True):
                self.write(index, value)

    def write(self, index: int, value: Any) -> None:
        """Put a value in its place."""
        if isinstance(value, np.ndarray):
            target = self.memory.tensor(index, value.shape)
            np.copyto(target, value)
            value = target
        self.values[index] = value

    def delegate(self, position: int, call: DelegateCall) -> None:
        """Run a delegate, which shows its own steps."""
        delegate = self.delegates[call.delegate]
        count = len(delegate.graph.inputs)
        if len(call.args) != count + len(delegate.graph.outputs):
            raise ExecutionError(f"its delegate does not take {len(call.args)} arguments")
        trace = None
        if self.watch is not None:
            watch = self.watch

            def trace(chain: int, index: int, node: Any, made: tuple[Any, ...]) -> Any:
                return watch(Spot(position, chain, index), node, made)

        given = [self.argument(index) for index in call.args[:count]]
        buffers = self.buffers[call.delegate]
        made = delegate.run(given, buffers, trace, plain=position in self.plain)
        try:
            outputs = [
                self.output(value, self.plan.values[index])
                for value, index in zip(made, call.args[count:], strict=True)
            ]
            del made
            mx.eval([o for o in outputs if isinstance(o, mx.array)], buffers)
        except Exception as error:
            raise ExecutionError(str(error)) from error
        for index, output in zip(call.args[count:], outputs, strict=True):
            if isinstance(output, mx.array):
                declared = self.plan.values[index]
                assert isinstance(declared, TensorValue)
                output = to_numpy(output, SCALAR_TYPES[declared.scalar_type])
            self.write(index, output)

    def argument(self, index: int) -> Any:
        """A value as a delegate takes it."""
        value, declared = self.values[index], self.plan.values[index]
        if value is None:
            raise ExecutionError(f"value {index} is read before it was written")
        if not isinstance(value, np.ndarray):
            return value
        if isinstance(declared, TensorValue):
            _require_rows(declared, "an input of a delegate")
            mlx_dtype(declared.scalar_type)
            scalar = SCALAR_TYPES[declared.scalar_type]
            if value.dtype == scalar.numpy:
                octets = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
                return to_mlx(octets, scalar, value.shape)
        raise ExecutionError(f"value {index} is not of the type that the plan declares")

    def output(self, made: Any, declared: Value) -> Any:
        """What a delegate made, cast to the declared type, if it fits the declared shape."""
        if not isinstance(made, mx.array):
            return made
        if not isinstance(declared, TensorValue):
            raise ExecutionError("its delegate makes a tensor where the plan has none")
        _require_rows(declared, "an output")
        shape = tuple(made.shape)
        if not declared.takes(shape):
            raise ExecutionError(
                f"its delegate makes a tensor of shape {shape}, expected "
                f"{'at most ' if declared.dynamic else ''}{declared.sizes}"
            )
        return mx.contiguous(made).astype(mlx_dtype(declared.scalar_type))


def located(plan: Plan, position: int, error: ExecutionError) -> ExecutionError:
    """`error` with its place, unless it says it already."""
    named = f"method {plan.name!r}, "
    if str(error).startswith(named):
        return error
    return ExecutionError(f"{named}plan instruction {position}: {error}")


def _truth(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return bool(value.all())
    if isinstance(value, bool):
        return value
    raise ExecutionError("a jump's condition is not a truth value")


def is_rows(value: TensorValue) -> bool:
    """Whether a tensor lies in C order."""
    return value.dim_order == tuple(range(len(value.sizes)))


def _require_rows(value: TensorValue, what: str) -> None:
    """MLX's delegate copies tensors in C order, whatever layout the plan declares."""
    if not is_rows(value):
        raise ExecutionError(
            f"{what} has the memory layout {value.dim_order}, which MLX's delegate ignores; "
            "export it contiguous"
        )
