"""What is in a `.pte`, as data."""

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

Size = int | None
"""One dimension; None where a call decides it."""


@dataclass(frozen=True)
class Tensor:
    """Type and shape of a tensor.

    Attributes
    ----------
    dtype
        numpy's name; None where the file does not tell.
    shape
        None where the file does not tell.
    most
        Upper bounds, where dimensions are open: as many as in `shape`.
    """

    dtype: str | None
    shape: tuple[Size, ...] | None
    most: tuple[Size, ...] | None = None


@dataclass(frozen=True)
class Slot:
    """A numbered tensor or value of a delegate, or a value of a plan.

    Attributes
    ----------
    number
        Its number; several instructions may write the same one.
    kind
        ``constant``, ``input``, ``output``, ``buffer``, ``temporary``; ``value`` for a number or
        text, ``list`` for several values.
    name
        Of a constant or a buffer.
    literal
        What a plan's value is before a call computes it: a number, a text, or a list of either, or
        of the numbers of other values.
    """

    number: int
    kind: str
    name: str | None
    tensor: Tensor | None
    literal: Any = None


@dataclass(frozen=True)
class NodeContents:
    """One instruction of a delegate.

    Attributes
    ----------
    inputs
        Field → the slot or slots it reads.
    outputs
        What it writes.
    attributes
        Its other fields; a number computed by the program is ``{"value": number}``.
    origin, module
        The exported graph's node that it computes, and its module, where the export kept names.
    """

    index: int
    op: str
    inputs: Mapping[str, Slot | tuple[Slot, ...]]
    outputs: tuple[Slot, ...]
    attributes: Mapping[str, Any]
    origin: str | None = None
    module: str | None = None


@dataclass(frozen=True)
class DelegateContents:
    """A part of a method that a backend runs.

    Attributes
    ----------
    bytes
        Of its payload.
    chains
        ``main``, ``init`` or ``inner 2`` → instructions; None where the payload is not MLX's.
    buffers
        Mutable tensors that it keeps from call to call.
    """

    index: int
    backend: str
    bytes: int
    chains: Mapping[str, tuple[NodeContents, ...]] | None
    buffers: tuple[Slot, ...]


@dataclass(frozen=True)
class PlanInstruction:
    """One instruction of a method, outside delegates.

    Attributes
    ----------
    kind
        ``delegate``, ``kernel``, ``move``, ``jump if false`` or ``free``.
    what
        Number of the delegate, name of the operator, or target of the jump.
    arguments
        The values it names, in order.
    """

    index: int
    kind: str
    what: int | str | None
    arguments: tuple[Slot, ...]


@dataclass(frozen=True)
class QuantizedLayer:
    """A packed weight and how it is used."""

    name: str
    op: str
    bits: int
    group: int
    mode: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MethodContents:
    """A method that computes something.

    Attributes
    ----------
    kernels
        Operator → calls outside delegates.
    nodes
        Instructions in the main chains of MLX delegates.
    planned
        Bytes of memory that a call needs outside delegates.
    """

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
    """Contents that the file carries.

    Attributes
    ----------
    name
        Its name; of a constant without one, the method's value that it is.
    methods
        Who uses it.
    file
        0 for the `.pte`, from 1 on for the data files given with it; None: in a file not given.
    """

    name: str
    tensor: Tensor
    bytes: int
    methods: tuple[str, ...]
    file: int | None = 0


@dataclass(frozen=True)
class Contents:
    """A whole file.

    Attributes
    ----------
    data
        Data files read with it.
    intact
        Whether the file is what was exported, by the digest kept beside it; None without one.
    names
        What the names beside the file say of it (`harness.pte.names`): ``types`` and origins of
        instructions, ``origins`` alone (an older export), ``nothing`` (there are none), or
        ``another file`` (they belong to another export, or are damaged).
    metadata
        Constant method → what it returns.
    """

    path: Path
    bytes: int
    data: tuple[Path, ...]
    intact: bool | None
    names: str
    methods: tuple[MethodContents, ...]
    metadata: Mapping[str, Any]
    constants: tuple[Constant, ...]
