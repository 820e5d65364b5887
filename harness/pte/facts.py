"""What a `.pte` holds, as a value: delegation, constants, quantised layers, metadata, sizes.

Constants are told by the SHA-256 of their bytes, so that whoever judges them needs neither the
file nor the weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import Array, dtype_of
from harness.pte.coverage import MethodDelegation, delegate_graph, plan_delegation
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.metadata import Value, is_constant, metadata
from harness.pte.payload import MLXGraph, Tid, outputs_of
from harness.pte.plan import MLX_BACKEND, Plan, Span, TensorValue
from harness.pte.program import Program, read_program

__all__ = ["Constant", "MethodFacts", "ProgramFacts", "QuantizedLayer", "read_facts"]


@dataclass(frozen=True)
class Constant:
    """A constant tensor.

    Attributes
    ----------
    name
        As the file has it, without the prefix that tells its delegate; empty where it has none.
    dtype, shape
        numpy's name of the type, and the sizes.
    sha256
        Of its bytes in C order; empty where the file does not have them.
    value
        Of a constant of rank 0, as text, since JSON has no infinity.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    value: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return prod(self.shape) * dtype_of(self.dtype).itemsize

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return "float" in self.dtype


@dataclass(frozen=True)
class QuantizedLayer:
    """A quantised weight, in MLX's form: ``weight = scales · values + biases``, group by group.

    Attributes
    ----------
    name
        As `Constant.name`, of the packed values, without what the exporter appends.
    bits, group
        Bits of a value, and the values that share a scale.
    rows, columns
        Of the weight.
    dtype
        Type of the scales.
    values, scales, biases
        SHA-256 of the bytes of each: packed values, and (rows, columns / group) scales and
        biases. Biases that the init chain multiplies out of the scales count as their product.
        Empty where the file does not tell.
    """

    name: str
    bits: int
    group: int
    rows: int
    columns: int
    dtype: str
    values: str
    scales: str
    biases: str


@dataclass(frozen=True)
class MethodFacts:
    """One method that runs something.

    `constants` are those of the plan and of its delegates, but for those of `layers`.
    """

    delegation: MethodDelegation
    constants: tuple[Constant, ...]
    layers: tuple[QuantizedLayer, ...]


@dataclass(frozen=True)
class ProgramFacts:
    """One file.

    Attributes
    ----------
    bytes
        Size of the file.
    constant_bytes
        Bytes of the constants in it, each counted once.
    tables
        Number of constants that it names.
    metadata
        Constant method → what it returns; a tensor is told by type and shape.
    methods
        By entry name, in file order; constant methods are left out.
    """

    bytes: int
    constant_bytes: int
    tables: int
    metadata: Mapping[str, Value]
    methods: Mapping[str, MethodFacts]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ProgramFacts:
        """The facts that `to_json` wrote."""
        methods = {
            name: MethodFacts(
                MethodDelegation(
                    **{
                        **method["delegation"],
                        "kernel_calls": tuple(method["delegation"]["kernel_calls"]),
                    }
                ),
                tuple(Constant(**{**c, "shape": tuple(c["shape"])}) for c in method["constants"]),
                tuple(QuantizedLayer(**layer) for layer in method["layers"]),
            )
            for name, method in content["methods"].items()
        }
        return cls(**{**content, "methods": methods})


def read_facts(path: Path, data: Sequence[Path] = ()) -> ProgramFacts:
    """Read a `.pte`, every byte of its constants included.

    Parameters
    ----------
    data
        The `.ptd` files of weights that were exported apart from the program.

    Raises
    ------
    ProgramError
        A file is missing, truncated, damaged or not what it should be.
    """
    program = read_program(path, data)
    try:
        reader = _Reader(program)
        spans = {*program.named_data.values(), *_plan_spans(program)}
        return ProgramFacts(
            bytes=path.stat().st_size,
            constant_bytes=sum(span.size for span in spans),
            tables=len(program.named_data),
            metadata=metadata(program),
            methods={
                name: reader.method(plan)
                for name, plan in program.plans.items()
                if not is_constant(plan)
            },
        )
    finally:
        program.close()


def _plan_spans(program: Program) -> Iterator[Span]:
    for plan in program.plans.values():
        for value in plan.values:
            if isinstance(value, TensorValue) and isinstance(value.data, Span):
                yield value.data


class _Reader:
    """Reads constants of one program; each stretch of the file is hashed once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._digests: dict[Span | bytes, str] = {}

    def method(self, plan: Plan) -> MethodFacts:
        graphs = {
            index: delegate_graph(self.program, plan, index)
            for index, delegate in enumerate(plan.delegates)
            if delegate.backend == MLX_BACKEND
        }
        constants: list[Constant] = []
        layers: dict[str, QuantizedLayer] = {}
        for value in plan.values:
            # One with a place is state, which the file only initialises.
            if isinstance(value, TensorValue) and value.data is not None and value.place is None:
                constants.append(self._constant(value.external or "", value, value.data))
        for graph in graphs.values():
            found, parts = self._layers(graph)
            layers.update(found)
            for index in range(graph.constants):
                meta = graph.meta[index] if index < len(graph.meta) else None
                if meta is None or index in parts:
                    continue
                full = graph.names.get(index, "")
                where = self.program.named_data.get(full)
                constants.append(self._constant(full.split("/", 1)[-1], meta, where))
        constants += self._by_key(plan)
        return MethodFacts(plan_delegation(plan, graphs), tuple(constants), tuple(layers.values()))

    def _by_key(self, plan: Plan) -> Iterator[Constant]:
        """Constants of XNNPACK's delegates, whose payloads name them by the hash of their bytes.

        Neither type nor shape is told, so that they count as bytes.
        """
        keys = {key.encode(): key for key in self.program.named_data if _HASH.fullmatch(key)}
        for delegate in plan.delegates:
            if delegate.backend == MLX_BACKEND:
                continue
            with self.program.data(delegate.payload) as payload:
                for match in _HASH_BYTES.finditer(payload):
                    if match[0] in keys:
                        where = self.program.named_data[keys[match[0]]]
                        yield Constant("", "uint8", (where.size,), self._digest(where))

    def _constant(self, name: str, what: Any, where: Span | bytes | None) -> Constant:
        if isinstance(what, TensorValue):
            scalar, shape = SCALAR_TYPES[what.scalar_type], what.sizes
        else:
            scalar, shape = what.scalar, tuple(dim.size or 0 for dim in what.shape)
        value = ""
        if not shape and where is not None:
            with self.program.data(where) as data:
                if len(data) >= scalar.numpy.itemsize:
                    value = str(np.frombuffer(data[: scalar.numpy.itemsize], scalar.numpy)[0])
        return Constant(name, scalar.name, shape, self._digest(where), value)

    def _digest(self, where: Span | bytes | None) -> str:
        if where is None:
            return ""
        if where not in self._digests:
            with self.program.data(where) as data:
                self._digests[where] = hashlib.sha256(data).hexdigest()
        return self._digests[where]

    def _layers(self, graph: MLXGraph) -> tuple[dict[str, QuantizedLayer], set[int]]:
        """The quantised layers of a delegate by name, and the constants that are parts of them."""
        layers: dict[str, QuantizedLayer] = {}
        parts: set[int] = set()
        for node, w, scales, biases in graph.quantized():
            parts |= {w, scales} | ({biases} if biases is not None else set())
            name = graph.names.get(w, f"tensor {w}")
            meta = graph.meta[w] if w < len(graph.meta) else None
            sizes = [dim.size or 0 for dim in meta.shape] if meta else []
            rows, words = sizes if len(sizes) == 2 else (0, 0)
            layers[name] = QuantizedLayer(
                name=name.split("/", 1)[-1].removesuffix(_SUFFIX),
                bits=node.bits,
                group=node.group_size,
                rows=rows,
                columns=words * 32 // node.bits,
                dtype=self._dtype(graph, scales),
                values=self._digest(self._where(graph, w)),
                scales=self._digest(self._where(graph, scales)),
                biases=self._biases(graph, biases),
            )
        return layers, parts

    def _where(self, graph: MLXGraph, index: int) -> Span | None:
        return self.program.named_data.get(graph.names.get(index, ""))

    def _dtype(self, graph: MLXGraph, index: int) -> str:
        meta = graph.meta[index] if index < len(graph.meta) else None
        return meta.scalar.name if meta else ""

    def _biases(self, graph: MLXGraph, index: int | None) -> str:
        """Digest of a layer's biases: as stored, or as the init chain makes them."""
        if index is None:
            return ""
        for node in graph.chains[graph.init] if graph.init is not None else ():
            if Tid(index) in outputs_of(node):
                if type(node).__name__ != "MultiplyNode":
                    return ""
                a, b = (self._array(graph, tid.idx) for tid in (node.a, node.b))
                if a is None or b is None or not {a.ndim, b.ndim} & {0}:
                    return ""
                with np.errstate(over="ignore"):
                    return hashlib.sha256(
                        np.ascontiguousarray(a * b).view(np.uint8).data
                    ).hexdigest()
        return self._digest(self._where(graph, index))

    def _array(self, graph: MLXGraph, index: int) -> Array | None:
        where = self._where(graph, index)
        meta = graph.meta[index] if index < len(graph.meta) else None
        if where is None or meta is None:
            return None
        shape = tuple(dim.size or 0 for dim in meta.shape)
        with self.program.data(where) as data:
            if prod(shape) * meta.scalar.numpy.itemsize != len(data):
                return None
            return np.frombuffer(data, meta.scalar.numpy).reshape(shape).copy()


_HASH, _HASH_BYTES = re.compile("[0-9a-f]{64}"), re.compile(b"[0-9a-f]{64}")

_SUFFIX = ".parametrizations.weight.original0_to_packed"
"""What torch.export and the MLX builder append to the name of a quantised layer."""
