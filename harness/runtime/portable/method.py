"""Run one method: the instructions of its plan, with the delegates among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from harness.errors import ExecutionError, InputError, ProgramError
from harness.runtime.portable.blas import mx
from harness.runtime.portable.delegate import Buffers, MLXDelegate
from harness.runtime.portable.dtypes import SCALAR_TYPES
from harness.runtime.portable.interpreter import Trace
from harness.runtime.portable.payload import MLXGraph
from harness.runtime.portable.plan import (
    DelegateCall,
    FreeCall,
    JumpFalseCall,
    KernelCall,
    MoveCall,
    Plan,
    TensorValue,
    Value,
)
from harness.runtime.portable.program import Program
from harness.runtime.portable.slots import mlx_dtype, to_mlx, to_numpy
from harness.runtime.portable.wide import Budget
from harness.runtime.protocol import Array, TensorSpec

__all__ = ["Method", "input_specs"]

# Loops are jumps backwards; a damaged condition must not hang the run. Exports of this model
# have a handful of instructions.
_MOST_STEPS = 1_000_000

# numpy's names of the scalar kinds that a plan's values can be; bool first, being an int too.
_SCALAR_KINDS = ((bool, "bool"), (int, "int64"), (float, "float64"))


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
    """A method that is ready to run.

    Attributes
    ----------
    initial
        The plan's values before a call: constants as MLX arrays, numbers, None for tensors that
        a call fills in.
    """

    plan: Plan
    delegates: Mapping[int, MLXDelegate]
    initial: Sequence[Any]

    @classmethod
    def load(
        cls,
        program: Program,
        plan: Plan,
        graphs: Mapping[int, MLXGraph],
        faithful: bool = False,
        budget: Budget | None = None,
    ) -> Method:
        """Read the weights in and run the delegates' init chains; see `MLXDelegate.load`."""
        where = f"method {plan.name!r}"

        def initial(value: Value) -> Any:
            if not isinstance(value, TensorValue):
                return value
            if value.data is None:
                return None
            _require_rows(value, where)
            mlx_dtype(value.scalar_type)
            with program.data(value.data) as data:
                return to_mlx(data, SCALAR_TYPES[value.scalar_type], value.sizes)

        return cls(
            plan,
            {
                i: MLXDelegate.load(program, graph, where, faithful, budget)
                for i, graph in graphs.items()
            },
            [initial(value) for value in plan.values],
        )

    def fresh(self) -> dict[int, Buffers]:
        """The mutable buffers of a new state, by delegate."""
        return {index: list(delegate.fresh) for index, delegate in self.delegates.items()}

    def call(
        self, inputs: Sequence[Array], buffers: Mapping[int, Buffers], trace: Trace | None
    ) -> list[Array]:
        """Run once; `buffers` are brought up to date."""
        values = list(self.initial)
        for index, given in zip(self.plan.inputs, self._checked(inputs), strict=True):
            values[index] = given
        self._run(values, buffers, trace)
        return [self._result(index, values[index]) for index in self.plan.outputs]

    def _checked(self, inputs: Sequence[Array]) -> list[Any]:
        """Inputs as MLX arrays or numbers, refused as the ExecuTorch runtime refuses them."""
        specs = input_specs(self.plan)
        name = self.plan.name
        if len(inputs) != len(specs):
            raise InputError(f"{name} takes {len(specs)} inputs (got {len(inputs)})")
        checked: list[Any] = []
        for i, (given, spec) in enumerate(zip(inputs, specs, strict=True)):
            array = np.asarray(given)
            if array.dtype.name != spec.dtype:
                raise InputError(f"input {i} of {name} must be {spec.dtype} (got {array.dtype})")
            if not _fits(array.shape, spec):
                most = "at most " if spec.dynamic else ""
                raise InputError(
                    f"input {i} of {name} must have shape {most}{spec.shape} (got {array.shape})"
                )
            if array.size == 0:
                raise InputError(f"input {i} of {name} is empty (shape {array.shape})")
            value = self.plan.values[self.plan.inputs[i]]
            if isinstance(value, TensorValue):
                octets = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                checked.append(to_mlx(octets, SCALAR_TYPES[value.scalar_type], array.shape))
            elif array.item() != value:
                raise InputError(f"input {i} of {name} was exported as {value} (got {array})")
            else:
                checked.append(value)
        return checked

    def _run(self, values: list[Any], buffers: Mapping[int, Buffers], trace: Trace | None) -> None:
        instructions = self.plan.instructions
        position = steps = 0
        while position < len(instructions):
            steps += 1
            if steps > _MOST_STEPS:
                raise self._error(position, f"the plan did not end in {_MOST_STEPS} steps")
            call = instructions[position]
            position += 1
            if isinstance(call, DelegateCall):
                self._delegate(position - 1, call, values, buffers, trace)
            elif isinstance(call, KernelCall):
                raise self._error(
                    position - 1,
                    f"op {call.operator} is not delegated: the portable executor runs MLX "
                    "delegates only, so lower it to MLX",
                )
            elif isinstance(call, MoveCall):
                values[call.target] = values[call.source]
            elif isinstance(call, JumpFalseCall):
                if not self._truth(position - 1, values[call.condition]):
                    position = call.destination
            elif isinstance(call, FreeCall):
                values[call.value] = None

    def _delegate(
        self,
        position: int,
        call: DelegateCall,
        values: list[Any],
        buffers: Mapping[int, Buffers],
        trace: Trace | None,
    ) -> None:
        delegate = self.delegates.get(call.delegate)
        if delegate is None:
            backend = self.plan.delegates[call.delegate].backend
            raise self._error(position, f"not supported here: a delegate of {backend}")
        count = len(delegate.graph.inputs)
        if len(call.args) != count + len(delegate.graph.outputs):
            raise self._error(position, f"its delegate does not take {len(call.args)} arguments")
        given = call.args[:count]
        for index in given:
            if values[index] is None:
                raise self._error(position, f"value {index} is read before it was written")
        made = delegate.run([values[i] for i in given], buffers[call.delegate], trace)
        try:
            outputs = [
                self._output(value, self.plan.values[index])
                for value, index in zip(made, call.args[count:], strict=True)
            ]
            del made
            mx.eval([o for o in outputs if isinstance(o, mx.array)], buffers[call.delegate])
        except Exception as error:
            raise self._error(position, str(error)) from error
        for index, output in zip(call.args[count:], outputs, strict=True):
            values[index] = output

    def _output(self, made: Any, declared: Value) -> Any:
        """What a delegate made, cast to the declared type, if it fits the declared shape."""
        if not isinstance(made, mx.array):
            return made
        if not isinstance(declared, TensorValue):
            raise ExecutionError("its delegate makes a tensor where the plan has none")
        _require_rows(declared, "an output")
        shape = tuple(made.shape)
        # The runtime resizes a dynamic tensor to any shape of its rank that fits its memory.
        fits = len(shape) == len(declared.sizes) and (
            prod(shape) <= prod(declared.sizes) if declared.dynamic else shape == declared.sizes
        )
        if not fits:
            raise ExecutionError(
                f"its delegate makes a tensor of shape {shape}, expected "
                f"{'at most ' if declared.dynamic else ''}{declared.sizes}"
            )
        return mx.contiguous(made).astype(mlx_dtype(declared.scalar_type))

    def _result(self, index: int, value: Any) -> Array:
        declared = self.plan.values[index]
        if isinstance(value, mx.array):
            assert isinstance(declared, TensorValue)
            return to_numpy(value, SCALAR_TYPES[declared.scalar_type])
        if value is None and isinstance(declared, TensorValue):
            raise ExecutionError(f"method {self.plan.name!r}: an output was never written")
        for kind, name in _SCALAR_KINDS:
            if isinstance(value, kind):
                return np.asarray(value, dtype=name)
        if isinstance(value, (str, tuple)):
            return np.asarray(value)
        raise ExecutionError(
            f"method {self.plan.name!r} returns a {type(value).__name__}: not supported here"
        )

    def _truth(self, position: int, value: Any) -> bool:
        if isinstance(value, mx.array) and value.dtype == mx.bool_:
            return bool(mx.all(value).item())
        if isinstance(value, bool):
            return value
        raise self._error(position, "a jump's condition is not a truth value")

    def _error(self, position: int, reason: str) -> ExecutionError:
        return ExecutionError(f"method {self.plan.name!r}, plan instruction {position}: {reason}")


def _fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    if not spec.dynamic:
        return shape == spec.shape
    return len(shape) == len(spec.shape) and all(
        size <= most for size, most in zip(shape, spec.shape, strict=True)
    )


def _require_rows(value: TensorValue, what: str) -> None:
    """MLX's delegate copies tensors in C order, whatever layout the plan declares."""
    if value.dim_order != tuple(range(len(value.sizes))):
        raise ExecutionError(
            f"{what} has the memory layout {value.dim_order}, which MLX's delegate ignores; "
            "export it contiguous"
        )
