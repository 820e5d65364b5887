"""What is in a `.pte`, as data; docs/inspect-schema.md says what each field means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Constant",
    "Contents",
    "DelegateContents",
    "MethodContents",
    "NodeContents",
    "PlanInstruction",
    "QuantizedLayer",
    "Slot",
    "Tensor",
]

Shape = tuple[int | None, ...]
"""Sizes; None where a call decides one."""


@dataclass(frozen=True)
class Tensor:
    """A type and a shape, None where the file does not tell; `most` bounds open sizes."""

    dtype: str | None
    shape: Shape | None
    most: Shape | None = None


@dataclass(frozen=True)
class Slot:
    """A numbered tensor or value of a delegate or of a plan."""

    number: int
    kind: str
    name: str | None
    tensor: Tensor | None
    literal: Any = None


@dataclass(frozen=True)
class NodeContents:
    """One instruction of a delegate."""

    index: int
    op: str
    inputs: Mapping[str, Slot | tuple[Slot, ...]]
    outputs: tuple[Slot, ...]
    attributes: Mapping[str, Any]
    origin: str | None = None
    module: str | None = None


@dataclass(frozen=True)
class DelegateContents:
    """A part of a method that a backend runs; `chains` are None where that is not MLX."""

    index: int
    backend: str
    bytes: int
    chains: Mapping[str, tuple[NodeContents, ...]] | None
    buffers: tuple[Slot, ...]


@dataclass(frozen=True)
class PlanInstruction:
    """One instruction of a method, outside delegates."""

    index: int
    kind: str
    what: int | str | None
    arguments: tuple[Slot, ...]


@dataclass(frozen=True)
class QuantizedLayer:
    """A packed weight, and the instruction that uses it."""

    name: str
    op: str
    bits: int
    group: int
    mode: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MethodContents:
    """A method that computes something."""

    name: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    delegates: tuple[DelegateContents, ...]
    kernels: Mapping[str, int]
    nodes: int
    planned: int
    instructions: tuple[PlanInstruction, ...]
    quantized: tuple[QuantizedLayer, ...]

    @property
    def kernel_calls(self) -> int:
        """Operators that run outside delegates, repeats included."""
        return sum(self.kernels.values())

    @property
    def opaque(self) -> bool:
        """Whether it has a delegate that only its own backend can read."""
        return any(delegate.chains is None for delegate in self.delegates)

    @property
    def coverage(self) -> float | None:
        """Share of the work's steps that delegates do; None where a delegate is opaque."""
        steps = self.nodes + self.kernel_calls
        return None if self.opaque or not steps else self.nodes / steps


@dataclass(frozen=True)
class Constant:
    """Contents that a file carries: 0 is the `.pte`; None one that was not given."""

    name: str
    tensor: Tensor
    bytes: int
    methods: tuple[str, ...]
    file: int | None = 0


@dataclass(frozen=True)
class Contents:
    """A whole file."""

    path: Path
    bytes: int
    data: tuple[Path, ...]
    intact: bool | None
    names: str
    methods: tuple[MethodContents, ...]
    metadata: Mapping[str, Any]
    constants: tuple[Constant, ...]
