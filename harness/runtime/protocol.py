"""The one protocol behind which every executor runs a `.pte`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from harness.arrays import Array, dtype_of
from harness.budget import LocalAllowance
from harness.errors import InputError, ProgramError, brief
from harness.fingerprint import Fingerprint, Regime
from harness.float64.local import NodeError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import Plan, TensorValue

__all__ = [
    "SCALAR_KINDS",
    "Executor",
    "StepError",
    "TensorSpec",
    "Watchable",
    "check_inputs",
    "input_specs",
    "output_specs",
]

SCALAR_KINDS: dict[type, str] = {
    bool: "bool", int: "int64", float: "float64", type(None): "None",
}  # fmt: skip
"""numpy's names of the kinds of number that a plan's values can be; None is itself."""


@dataclass(frozen=True)
class TensorSpec:
    """What a method declares of one input or output."""

    dtype: str  # numpy's name of the element type: float32, int64, bfloat16; or None
    shape: tuple[int, ...]  # sizes, or the upper bounds where `dynamic`
    dynamic: bool = False  # each call may bring any shape up to `shape`, of the same rank
    value: bool | int | float | None = None  # of a number, which was fixed by the export

    @property
    def fixed(self) -> bool:
        """Whether each call brings the same: None, or a number."""
        return self.dtype == "None" or self.value is not None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a call may bring a tensor of `shape`."""
        if not self.dynamic:
            return shape == self.shape
        return len(shape) == len(self.shape) and all(
            size <= bound for size, bound in zip(shape, self.shape, strict=True)
        )


def input_specs(plan: Plan) -> tuple[TensorSpec, ...]:
    """Declared inputs of a method; a number has shape ()."""
    specs = []
    for number, index in enumerate(plan.inputs):
        value = plan.values[index]
        if isinstance(value, TensorValue):
            dtype = SCALAR_TYPES[value.scalar_type].name
            specs.append(TensorSpec(dtype, value.sizes, value.dynamic))
        elif value is None or isinstance(value, bool | int | float):
            specs.append(TensorSpec(SCALAR_KINDS[type(value)], (), value=value))
        else:
            raise ProgramError(
                f"input {number} of {plan.name} must be a tensor or a number (got "
                f"{type(value).__name__}); export the method without it"
            )
    return tuple(specs)


def output_specs(plan: Plan) -> tuple[TensorSpec, ...]:
    """Declared outputs of a method."""
    found = []
    for index in plan.outputs:
        value = plan.values[index]
        if isinstance(value, TensorValue):
            dtype = SCALAR_TYPES[value.scalar_type].name
            found.append(TensorSpec(dtype, value.sizes, value.dynamic))
        else:
            found.append(TensorSpec(SCALAR_KINDS.get(type(value), "str"), ()))
    return tuple(found)


def check_inputs(method: str, specs: Sequence[TensorSpec], inputs: Sequence[Array]) -> list[Array]:
    """`inputs` as arrays, if they are what `method` declares; every executor asks this.

    Inputs that the export fixed, None and numbers, may be left out, all of them.
    """
    if len(inputs) == sum(not spec.fixed for spec in specs):
        given = iter(inputs)
        inputs = [np.asarray(spec.value) if spec.fixed else next(given) for spec in specs]
    if len(inputs) != len(specs):
        raise InputError(f"{method} takes {len(specs)} inputs (got {len(inputs)})")
    arrays = [np.asarray(value) for value in inputs]
    for index, (array, spec, value) in enumerate(zip(arrays, specs, inputs, strict=True)):
        if spec.dtype == "None":
            if array.dtype != object or array.item() is not None:
                raise InputError(f"input {index} of {method} must be None (got {brief(value)})")
            continue
        if array.dtype != dtype_of(spec.dtype):
            raise InputError(f"input {index} of {method} must be {spec.dtype} (got {array.dtype})")
        if not spec.fits(array.shape):
            bound = "at most " if spec.dynamic else ""
            raise InputError(
                f"input {index} of {method} must have shape {bound}{spec.shape} (got {array.shape})"
            )
    return arrays


@dataclass(frozen=True)
class StepError:
    """What one step of a program did in one call.

    Attributes
    ----------
    step, op
        Its number in the method, and its node type or operator.
    name, module
        Exported node that it computes, and the path of that node's module; empty where unknown.
    error
        How far off it was on the inputs that it had; None where it has no float64 semantics.
    """

    step: int
    op: str
    name: str
    module: str
    error: NodeError | None

    def share(self, allowance: LocalAllowance) -> float:
        """How much of its bound its error used; over 1 is wrong. 0 where it cannot be judged."""
        return 0.0 if self.error is None else self.error.share(allowance)


@runtime_checkable
class Watchable(Protocol):
    """An executor that lets its values be seen."""

    def watch(
        self,
        method: str,
        inputs: Sequence[Array],
        *,
        state: str = "default",
        repair: Collection[int] = (),
    ) -> tuple[list[Array], list[StepError]]:
        """Run `method` once: its outputs, and every step in the order run.

        Steps whose numbers are in `repair` go on with what they mean, rounded, instead.
        """
        ...

    def reset(self, state: str = "default") -> None:
        """As `Executor.reset`."""
        ...


class Executor(Protocol):
    """Runs the methods of one loaded program.

    A *state* is a set of mutable buffers (the KV cache), all zero at first; naming it lets a
    caller keep several apart. An executor is used from the thread that made it.
    """

    @property
    def fingerprint(self) -> Fingerprint:
        """Which executor this is."""
        ...

    def regime(self) -> Regime | None:
        """How exactly it multiplies, as canaries show; None where it cannot run them."""
        ...

    def load(self, path: Path) -> None:
        """Open a `.pte`, replacing any program loaded before and forgetting all states.

        Raises
        ------
        ProgramError
            The file is missing, truncated, damaged or not a program.
        """
        ...

    def methods(self) -> tuple[str, ...]:
        """Names of the methods in the loaded program, constant methods included."""
        ...

    def inputs(self, method: str) -> tuple[TensorSpec, ...]:
        """Declared inputs of `method`, in call order."""
        ...

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once and return its outputs.

        Scalar outputs of constant methods come back as 0-d arrays.

        Raises
        ------
        InputError
            No such method; wrong number, dtype or shape of inputs.
        ExecutionError
            The program refused to run: its fault, unlike that of every other error.
        UnsupportedError
            It needs what this executor does not have.
        MachineError
            The machine failed: no memory, a time-out, a process that died.
        """
        ...

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to zero."""
        ...

    def close(self) -> None:
        """Release the program, its states and any child process."""
        ...
