"""What a `.pte` holds, as a value: delegation, constants, quantised layers, metadata, sizes.

Constants are told by the SHA-256 of their bytes, so that whoever judges them needs neither the
file nor the weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np

from harness.arrays import Array, dtype_of
from harness.pte.coverage import MethodDelegation, mlx_graphs, plan_delegation
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.metadata import Value, is_constant, metadata
from harness.pte.payload import MLXGraph, Node, Tid, outputs_of
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
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str

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
    """One method; `constants` are those of its plan and delegates, but for those of `layers`."""

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
    metadata
        Constant method → what it returns; a tensor is told by type and shape.
    methods
        By entry name, in file order; constant methods are left out.
    """

    bytes: int
    constant_bytes: int
    metadata: Mapping[str, Value]
    methods: Mapping[str, MethodFacts]


def read_facts(path: Path, data: Sequence[Path] = ()) -> ProgramFacts:
    """Read a `.pte`, every byte of its constants included; raises as `read_program` does."""
    with closing(read_program(path, data)) as program:
        reader = _Reader(program)
        values = [value for plan in program.plans.values() for value in plan.values]
        spans = {
            *program.named_data.values(),
            *(v.data for v in values if isinstance(v, TensorValue) and isinstance(v.data, Span)),
        }
        return ProgramFacts(
            bytes=path.stat().st_size,
            constant_bytes=sum(span.size for span in spans),
            metadata=metadata(program),
            methods={
                name: reader.method(plan)
                for name, plan in program.plans.items()
                if not is_constant(plan)
            },
        )


class _Reader:
    """Reads constants of one program; each stretch of the file is hashed once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.digest = cache(self._digest)

    def method(self, plan: Plan) -> MethodFacts:
        graphs = mlx_graphs(self.program, plan)
        constants = [
            Constant(
                value.external or "",
                SCALAR_TYPES[value.scalar_type].name,
                value.sizes,
                self.digest(value.data),
            )
            for value in plan.values
            # One with a place is state, which the file only initialises.
            if isinstance(value, TensorValue) and value.data is not None and value.place is None
        ]
        layers: dict[str, QuantizedLayer] = {}
        for graph in graphs.values():
            parts: set[int | None] = set()
            for node, w, scales, biases in graph.quantized():
                parts |= {w, scales, biases}
                name = graph.names.get(w, f"tensor {w}")
                layers[name] = self._layer(graph, node, (w, scales, biases), name)
            for index in range(graph.constants):
                meta = graph.meta_of(index)
                if meta is not None and index not in parts:
                    name = graph.names.get(index, "").split("/", 1)[-1]
                    digest = self.digest(self._where(graph, index))
                    constants.append(Constant(name, meta.scalar.name, meta.sizes, digest))
        constants += self._by_key(plan)
        return MethodFacts(plan_delegation(plan, graphs), tuple(constants), tuple(layers.values()))

    def _by_key(self, plan: Plan) -> Iterator[Constant]:
        """Constants of XNNPACK's delegates, whose payloads name them by the hash of their bytes.

        Neither type nor shape is told, so that they count as bytes.
        """
        keys = {key.encode(): key for key in self.program.named_data}
        for delegate in plan.delegates:
            if delegate.backend == MLX_BACKEND:
                continue
            with self.program.data(delegate.payload) as payload:
                for match in _HASH.finditer(payload):
                    if match[0] in keys:
                        where = self.program.named_data[keys[match[0]]]
                        yield Constant("", "uint8", (where.size,), self.digest(where))

    def _digest(self, where: Span | bytes | None) -> str:
        if where is None:
            return ""
        with self.program.data(where) as data:
            return hashlib.sha256(data).hexdigest()

    def _layer(
        self, graph: MLXGraph, node: Node, tensors: tuple[int, int, int | None], name: str
    ) -> QuantizedLayer:
        w, scales, biases = tensors
        packed, scale = graph.meta_of(w), graph.meta_of(scales)
        rows, words = packed.sizes if packed and len(packed.shape) == 2 else (0, 0)
        return QuantizedLayer(
            name=name.split("/", 1)[-1].removesuffix(_SUFFIX),
            bits=node.bits,
            group=node.group_size,
            rows=rows,
            columns=words * 32 // node.bits,
            dtype=scale.scalar.name if scale else "",
            values=self.digest(self._where(graph, w)),
            scales=self.digest(self._where(graph, scales)),
            biases="" if biases is None else self._biases(graph, biases),
        )

    def _where(self, graph: MLXGraph, index: int) -> Span | None:
        return self.program.named_data.get(graph.names.get(index, ""))

    def _biases(self, graph: MLXGraph, index: int) -> str:
        """Digest of a layer's biases: as stored, or as the init chain makes them."""
        for node in graph.chains[graph.init] if graph.init is not None else ():
            if Tid(index) in outputs_of(node):
                if type(node).__name__ != "MultiplyNode":
                    return ""
                a, b = (self._array(graph, tid.idx) for tid in (node.a, node.b))
                if a is None or b is None or not {a.ndim, b.ndim} & {0}:
                    return ""
                with np.errstate(over="ignore"):
                    return hashlib.sha256((a * b).tobytes()).hexdigest()
        return self.digest(self._where(graph, index))

    def _array(self, graph: MLXGraph, index: int) -> Array | None:
        where, meta = self._where(graph, index), graph.meta_of(index)
        if where is None or meta is None:
            return None
        if prod(meta.sizes) * meta.scalar.numpy.itemsize != where.size:
            return None
        with self.program.data(where) as data:
            return np.frombuffer(data, meta.scalar.numpy).reshape(meta.sizes).copy()


_HASH = re.compile(b"[0-9a-f]{64}")

_SUFFIX = ".parametrizations.weight.original0_to_packed"
"""What torch.export and the MLX builder append to the name of a quantised layer."""
