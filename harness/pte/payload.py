"""The MLX delegate's payload: instruction chains over numbered tensors and values.

Layout (executorch/backends/mlx/serialization/mlx_graph_serialize.py), little-endian::

    0   u32  zero
    4   4 B  "MLX0"
    8   u64  offset of the constant data, where the flatbuffer ends
    16  u64  size of the constant data (0: constants lie in the program's named data)
    24  …    flatbuffer, root MLXGraph

Every node type of the installed schema decodes: a node is a frozen record whose type carries the
schema's name (``AddNode``) and whose attributes are the schema's fields. `IntOrVid` and its kin
become a plain number, a `Vid` or a `Tid`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from harness.errors import ProgramError
from harness.pte.dtypes import SCALAR_TYPES, ScalarType
from harness.pte.flatbuffer import Reader, damaged
from harness.pte.schema import mlx_schema

__all__ = [
    "Dim",
    "MLXGraph",
    "Node",
    "Slot",
    "TensorMeta",
    "Tid",
    "Vid",
    "outputs_of",
    "read_payload",
]

_HEADER = struct.Struct("<I4sQQ")
_SCHEMA_VERSION = 1
# The loader of upstream's runtime refuses larger programs.
_MOST_SLOTS = 1_000_000
_MOST_DIMENSIONS = 16
_QUANTIZED = ("QuantizedMatmulNode", "GatherQmmNode", "DequantizeNode")


@dataclass(frozen=True)
class Tid:
    """Number of a tensor: constants first, then inputs, outputs, mutable buffers, temporaries."""

    idx: int


@dataclass(frozen=True)
class Vid:
    """Number of a scalar value."""

    idx: int


Node = Any
Slot = Tid | Vid

OUTPUT_FIELDS = ("out", "outs", "outputs")
"""Fields of a node that name the slots it writes; every other slot in it is read."""


def outputs_of(node: Node) -> list[Slot]:
    """The slots that a node writes, in the order of what it makes."""
    found: list[Slot] = []
    for name in OUTPUT_FIELDS:
        value = getattr(node, name, ())
        found += value if isinstance(value, tuple) else () if value is None else (value,)
    return found


@dataclass(frozen=True)
class Dim:
    """One dimension: `size`, or None where each call brings its own up to `most` (None: any)."""

    size: int | None
    most: int | None


@dataclass(frozen=True)
class TensorMeta:
    """Shape and element type of a tensor that is not temporary."""

    shape: tuple[Dim, ...]
    scalar: ScalarType

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, with 0 for sizes that a call brings."""
        return tuple(dim.size or 0 for dim in self.shape)


@dataclass(frozen=True)
class MLXGraph:
    """A decoded payload.

    Attributes
    ----------
    chains
        Instruction chains; `main` runs on every call, `init` once, before the first (or None).
    inputs, outputs, buffers
        What the delegate's arguments and the mutable buffers are bound to.
    names
        Tensor number → name in the program's named data, or of a buffer.
    meta
        By tensor number; shorter than the tensors are many, and None where unknown.
    """

    constants: int
    tensors: int
    values: int
    chains: tuple[tuple[Node, ...], ...]
    main: int
    init: int | None
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    buffers: tuple[Tid, ...]
    names: dict[int, str]
    meta: tuple[TensorMeta | None, ...]

    def meta_of(self, index: int) -> TensorMeta | None:
        """`meta` of a tensor, None where there is none."""
        return self.meta[index] if index < len(self.meta) else None

    def quantized(self) -> Iterator[tuple[Node, int, int, int | None]]:
        """Nodes of the main chain that compute with packed weights.

        With each come the tensor numbers of its packed values, scales, and biases if it has any.
        Of an embedding, whose rows are taken before they are unpacked, they are the whole table's.
        """
        taken: dict[int, Tid] = {}
        for node in self.chains[self.main]:
            kind = type(node).__name__
            if kind == "TakeNode":
                taken[node.out.idx] = node.x
            if kind in _QUANTIZED and node.bits > 0:
                parts = (node.w, node.scales, node.biases)
                yield node, *(tid and taken.get(tid.idx, tid).idx for tid in parts)


def read_payload(data: memoryview, what: str) -> MLXGraph:
    """Decode a payload, called `what` in errors: ``delegate 0 of 'codec' in model.pte``.

    Raises
    ------
    ProgramError
        The payload is truncated, damaged, or of a newer schema than the installed executorch.
    """
    if len(data) < _HEADER.size:
        raise ProgramError(f"{what} is truncated at {len(data)} bytes; export it again")
    _, magic, end, _ = _HEADER.unpack_from(data)
    if magic != b"MLX0" or not _HEADER.size < end <= len(data):
        raise damaged(what, "its MLX0 header is not in order")
    with data[_HEADER.size : end] as flat:
        return _decoded(bytes(flat), what)


@lru_cache(maxsize=16)
def _decoded(flat: bytes, what: str) -> MLXGraph:
    """The graph in a flatbuffer; a check decodes a program for several readers, all frozen."""
    raw = Reader(mlx_schema(), memoryview(flat), what, _CONVERT).root()
    return _Builder(what).graph(raw)


class _Builder:
    """Checks what upstream's loader checks, and that no instruction leaves its slots."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.damaged = partial(damaged, what)

    def graph(self, raw: Any) -> MLXGraph:
        if raw.version and raw.version != str(_SCHEMA_VERSION):
            raise ProgramError(
                f"{self.what} has MLX schema version {raw.version!r}, expected "
                f"'{_SCHEMA_VERSION}'; install the executorch that exported it"
            )
        groups = (
            raw.num_constant_tensors,
            raw.num_input_tensors,
            raw.num_output_tensors,
            raw.num_mutable_buffer_tensors,
            raw.num_temp_tensors,
        )
        tensors = sum(groups)
        self.counts = {Tid: ("tensor", tensors), Vid: ("value", raw.num_values)}
        if max(tensors, raw.num_values) > _MOST_SLOTS:
            raise self.damaged(f"it has {tensors} tensors and {raw.num_values} values")
        chains = tuple(tuple(i.op for i in chain.instructions) for chain in raw.instruction_chains)
        self.check(chains)
        main, init = self.chain("main chain", raw.main_chain_idx, chains), None
        if raw.init_chain_idx >= 0:
            init = self.chain("init chain", raw.init_chain_idx, chains)
        self.refuse_cycles(chains)
        buffers = tuple(self.slot(s) for s in raw.mutable_buffer_map)
        first, last = sum(groups[:3]), sum(groups[:4])
        if not all(isinstance(b, Tid) and first <= b.idx < last for b in buffers):
            raise self.damaged("a mutable buffer is not among its buffer tensors")
        return MLXGraph(
            constants=raw.num_constant_tensors,
            tensors=tensors,
            values=raw.num_values,
            chains=chains,
            main=main,
            init=init,
            inputs=tuple(self.slot(s) for s in raw.input_map),
            outputs=tuple(self.slot(s) for s in raw.output_map),
            buffers=tuple(b for b in buffers if isinstance(b, Tid)),
            names={
                slot.idx: name
                for slot, name in ((self.slot(n.slot), n.name) for n in raw.named_slots)
                if isinstance(slot, Tid) and name is not None
            },
            meta=tuple(self.meta(m) for m in raw.tensor_meta),
        )

    def check(self, value: Any) -> None:
        """Every tensor and value number in a node is in range."""
        if isinstance(value, Tid | Vid):
            kind, count = self.counts[type(value)]
            if value.idx >= count:
                raise self.damaged(f"it refers to {kind} {value.idx} of {count}")
        elif isinstance(value, tuple):
            for item in value:
                self.check(item)
        elif hasattr(value, "__dict__"):
            for item in vars(value).values():
                self.check(item)

    def slot(self, raw: Any) -> Slot:
        """Tensor or value slot; only whole numbers cross a delegate's border as values."""
        if raw.slot_type not in (0, 1):
            raise self.damaged(f"slot type {raw.slot_type} cannot be an argument")
        slot = Tid(raw.idx) if raw.slot_type == 0 else Vid(raw.idx)
        self.check(slot)
        return slot

    def chain(self, what: str, index: int, chains: tuple[tuple[Node, ...], ...]) -> int:
        if not 0 <= index < len(chains):
            raise self.damaged(f"its {what} is number {index} of {len(chains)}")
        return index

    def refuse_cycles(self, chains: tuple[tuple[Node, ...], ...]) -> None:
        """A chain that runs itself, through scans or branches, would never end."""
        done: set[int] = set()

        def visit(index: int, above: tuple[int, ...]) -> None:
            if index in above:
                raise self.damaged(f"instruction chain {index} runs itself")
            if index in done:
                return
            for node in chains[index]:
                for field in ("body_chain_idx", "then_chain_idx", "else_chain_idx"):
                    if hasattr(node, field):
                        inner = self.chain("inner chain", getattr(node, field), chains)
                        visit(inner, (*above, index))
            done.add(index)

        for index in range(len(chains)):
            visit(index, ())

    def meta(self, raw: Any) -> TensorMeta:
        scalar = SCALAR_TYPES.get(raw.scalar_type)
        if scalar is None or not scalar.delegated:
            raise self.damaged(f"a tensor has ScalarType {raw.scalar_type}, which MLX has not")
        if len(raw.shape) > _MOST_DIMENSIONS or any(dim.value < -1 for dim in raw.shape):
            raise self.damaged(f"a tensor has {len(raw.shape)} dimensions or a negative one")
        return TensorMeta(tuple(self.dim(dim) for dim in raw.shape), scalar)

    def dim(self, raw: Any) -> Dim:
        if raw.value >= 0:
            return Dim(raw.value, raw.value)
        if raw.min_value < 0 or (raw.max_value != -1 and raw.max_value < raw.min_value):
            raise self.damaged(f"a tensor's size is from {raw.min_value} to {raw.max_value}")
        return Dim(None, raw.max_value if raw.max_value >= 0 else None)


def _chosen(raw: Any) -> Any:
    """What an `IntOrVid`, or one of its kin, holds."""
    if hasattr(raw, "kind"):
        name = {0: "literal", 1: "vid", 2: "tid"}.get(raw.kind, "")
    else:
        name = "vid" if raw.is_vid else "literal" if hasattr(raw, "literal") else "tid"
    chosen = getattr(raw, name, None)
    if chosen is None and name != "literal":
        raise damaged("an MLX payload", "a reference in it is empty")
    return chosen


_CONVERT = {
    "Tid": lambda raw: Tid(raw.idx),
    "Vid": lambda raw: Vid(raw.idx),
    **dict.fromkeys(("IntOrVid", "FloatOrVid", "VidOrTid", "IntOrVidOrTid"), _chosen),
}
