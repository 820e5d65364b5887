"""One method of a `.pte` as data: its values, its instructions, its delegates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "Delegate",
    "DelegateCall",
    "FreeCall",
    "Instruction",
    "JumpFalseCall",
    "KernelCall",
    "MoveCall",
    "Plan",
    "Span",
    "TensorList",
    "TensorValue",
    "Value",
]


@dataclass(frozen=True)
class Span:
    """A stretch of the file, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class TensorValue:
    """A tensor among a method's values.

    Attributes
    ----------
    scalar_type
        ExecuTorch's ScalarType number (`dtypes.SCALAR_TYPES`).
    sizes
        Shape, or its upper bound where `dynamic`.
    dim_order
        Memory layout, outermost dimension first.
    dynamic
        Whether each call may bring another shape.
    data
        Initial contents: a stretch of the file, bytes kept inline by old exports, or None for
        a tensor that is filled in by a call.
    """

    scalar_type: int
    sizes: tuple[int, ...]
    dim_order: tuple[int, ...]
    dynamic: bool
    data: Span | bytes | None


@dataclass(frozen=True)
class TensorList:
    """A list of tensors, each an index among the method's values; -1 stands for none."""

    items: tuple[int, ...]


Value = TensorValue | TensorList | int | float | bool | str | tuple[Any, ...] | None


@dataclass(frozen=True)
class KernelCall:
    """Run an operator that no delegate took, e.g. ``aten::add.out``."""

    operator: str
    args: tuple[int, ...]


@dataclass(frozen=True)
class DelegateCall:
    """Run delegate number `delegate`; `args` are its inputs, then its outputs."""

    delegate: int
    args: tuple[int, ...]


@dataclass(frozen=True)
class MoveCall:
    """Copy value `source` to value `target`."""

    source: int
    target: int


@dataclass(frozen=True)
class JumpFalseCall:
    """Go to instruction `destination` if value `condition` is false."""

    condition: int
    destination: int


@dataclass(frozen=True)
class FreeCall:
    """Release value `value`."""

    value: int


Instruction = KernelCall | DelegateCall | MoveCall | JumpFalseCall | FreeCall


@dataclass(frozen=True)
class Delegate:
    """A part of a method that a backend runs: the backend's id and its payload."""

    backend: str
    payload: Span | bytes


@dataclass(frozen=True)
class Plan:
    """One method. `inputs` and `outputs` are indices among `values`."""

    name: str
    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    delegates: tuple[Delegate, ...]
