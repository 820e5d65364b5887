"""One method of a `.pte` as data: its values, its instructions, its delegates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

__all__ = [
    "MLX_BACKEND",
    "XNNPACK_BACKEND",
    "Delegate",
    "DelegateCall",
    "FreeCall",
    "Instruction",
    "IntList",
    "JumpFalseCall",
    "KernelCall",
    "MoveCall",
    "Place",
    "Plan",
    "Span",
    "TensorList",
    "TensorValue",
    "Value",
]

MLX_BACKEND, XNNPACK_BACKEND = "MLXBackend", "XnnpackBackend"
"""Ids of the backends that this project lowers to, as `Delegate.backend` has them."""


@dataclass(frozen=True)
class Span:
    """A stretch of a file, in bytes; file 0 is the `.pte`, the others are its `.ptd` files."""

    offset: int
    size: int
    file: int = 0


@dataclass(frozen=True)
class Place:
    """Where memory planning put a tensor: values whose places overlap share their bytes."""

    arena: int
    offset: int


@dataclass(frozen=True)
class TensorValue:
    """A tensor among a method's values.

    Attributes
    ----------
    scalar_type
        ExecuTorch's number (`dtypes.SCALAR_TYPES`).
    sizes, dynamic
        Shape, or its upper bound where each call may bring another.
    dim_order
        Memory layout, outermost dimension first.
    data
        Initial contents; inline bytes in old exports, None for what a call fills in.
    place
        Where its bytes are during a call; None for constants, and if it gets memory of its own.
    external
        Name under which another file has the contents; `data` is None until that file is given.
    """

    scalar_type: int
    sizes: tuple[int, ...]
    dim_order: tuple[int, ...]
    dynamic: bool
    data: Span | bytes | None
    place: Place | None = None
    external: str | None = None

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether the runtime would give it this shape: a dynamic one, any that fits."""
        if len(shape) != len(self.sizes):
            return False
        return prod(shape) <= prod(self.sizes) if self.dynamic else tuple(shape) == self.sizes


@dataclass(frozen=True)
class TensorList:
    """A list of tensors, each an index among the method's values; -1 stands for none."""

    items: tuple[int, ...]


@dataclass(frozen=True)
class IntList:
    """A list of whole numbers, each an index among the method's values: a call may compute them."""

    items: tuple[int, ...]


Value = TensorValue | TensorList | IntList | int | float | bool | str | tuple[Any, ...] | None


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
    """One method; `inputs` and `outputs` are indices among `values`.

    `arenas` are the bytes of each arena that a `Place` can name; 0 stands for the constants and
    is not used.
    """

    name: str
    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    delegates: tuple[Delegate, ...]
    arenas: tuple[int, ...] = ()
