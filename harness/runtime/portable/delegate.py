"""One MLX delegate of a method: its constants, its mutable buffers, its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.arrays import Array
from harness.errors import ExecutionError
from harness.pte.payload import MLXGraph, TensorMeta, Tid
from harness.pte.plan import TensorValue, Value
from harness.pte.program import Program
from harness.runtime.portable.blas import mx
from harness.runtime.portable.folding import Folded, fold
from harness.runtime.portable.fp32_weights import Fp32Weights
from harness.runtime.portable.interpreter import Chains, Observer, Op, bind, run_chain
from harness.runtime.portable.kv_cache import SequenceCache
from harness.runtime.portable.memory import require_contiguous, require_fit
from harness.runtime.portable.refusals import attributed
from harness.runtime.portable.slots import INT32_MAX, INT32_MIN, Slots
from harness.runtime.portable.tensors import (
    allocatable,
    mlx_dtype,
    read_tensor,
    to_mlx,
    to_numpy,
)

__all__ = ["MLXDelegate"]

Buffers = list[Any]
"""Contents of a delegate's mutable buffers, in the order of its graph's `buffers`."""


@dataclass
class MLXDelegate:
    """A delegate that is ready to run."""

    graph: MLXGraph
    where: str  # names the method in errors
    faithful: bool
    fp32_weights: Fp32Weights | None
    constants: list[Any]  # the constant tensors, as the init chain left them
    fresh: Buffers  # the mutable buffers of a new state: zeros, unless the init chain wrote them
    cache: SequenceCache | None = None

    def __post_init__(self) -> None:
        self._chains: Chains = bind(self.graph)
        self._folded: Folded | None = None

    @classmethod
    def load(
        cls,
        program: Program,
        graph: MLXGraph,
        where: str,
        faithful: bool = False,
        fp32_weights: Fp32Weights | None = None,
    ) -> MLXDelegate:
        """Copy the constants in and run the init chain."""
        delegate = cls(graph, where, faithful, fp32_weights, [], [])
        for index in range(graph.constants):
            meta = graph.meta[index]
            assert meta is not None
            span = program.named_data[graph.names[index]]
            delegate.constants.append(read_tensor(program, span, meta.scalar, _shape(meta)))
        delegate.fresh = [delegate.zeros(tid) for tid in graph.buffers]
        if graph.init is not None:
            slots = delegate.slots(delegate.fresh)
            slots.initialising = True
            run_chain(delegate._chains, graph.init, slots, f"{where}, init chain")
            delegate.constants = slots.tensors[: graph.constants]
            delegate.fresh = delegate.take_buffers(slots)
        mx.eval(delegate.constants, delegate.fresh)
        return delegate

    def replace_ops(
        self, ops: Mapping[str, Op], at: Collection[tuple[int | None, int | None]] | None = None
    ) -> None:
        """Run nodes of these types by these functions, all others by their own.

        `at` names nodes by their chain and their index in it; None: all of them.
        """
        self._chains = [
            tuple(
                step._replace(op=ops.get(type(step.node).__name__, step.op))
                if at is None or (number, step.position) in at
                else step
                for step in chain
            )
            for number, chain in enumerate(bind(self.graph))
        ]
        self._folded = None

    def zeros(self, tid: Tid) -> Any:
        """A mutable buffer's first contents."""
        meta = self.graph.meta[tid.idx] if tid.idx < len(self.graph.meta) else None
        if meta is None or any(dim.size is None for dim in meta.shape):
            raise ExecutionError(f"{self.where}: buffer {tid.idx} has no static shape")
        dtype = mlx_dtype(meta.scalar.number)
        return mx.zeros(allocatable(_shape(meta), dtype), dtype=dtype)

    def slots(self, buffers: Buffers, accelerated: bool = True) -> Slots:
        """Slots with constants and buffers in place and everything else empty."""
        tensors = self.constants + [None] * (self.graph.tensors - self.graph.constants)
        for tid, contents in zip(self.graph.buffers, buffers, strict=True):
            tensors[tid.idx] = contents
        values: list[int | None] = [None] * self.graph.values
        copies = self.fp32_weights if accelerated else None
        return Slots(tensors, values, self.graph.constants, self.faithful, copies, self.cache)

    def take_buffers(self, slots: Slots) -> Buffers:
        """Buffers as a run left them."""
        return [slots.tensors[tid.idx] for tid in self.graph.buffers]

    def run(
        self,
        arguments: Sequence[Any],  # MLX arrays or integers, one for each of the graph's inputs
        buffers: Buffers,
        observer: Observer | None = None,  # shown every step
        accelerated: bool = True,
    ) -> list[Any]:
        """Run the main chain; `buffers` are brought up to date, even if an instruction fails."""
        if accelerated and self._folded is None:
            empty = self.slots([None] * len(self.graph.buffers))
            self._folded = fold(self.graph, self._chains, empty)
        steps = None
        if accelerated and self._folded is not None:
            steps = self._folded.lean if observer is None else self._folded.whole
        slots = self.slots(buffers, accelerated)
        # Only the slots may hold the buffers now, or MLX could not update them in place.
        buffers.clear()
        try:
            for slot, argument in zip(self.graph.inputs, arguments, strict=True):
                self.bind(slots, slot, argument)
            run_chain(self._chains, self.graph.main, slots, self.where, observer, steps)
            return list(map(slots.at, self.graph.outputs))
        finally:
            buffers.extend(self.take_buffers(slots))

    def argument(self, value: Array, declared: TensorValue) -> Any:
        """A tensor of the plan as an MLX array."""
        mlx_dtype(declared.scalar_type)
        if value.size == 0 and declared.place is None:
            raise ExecutionError(
                f"an empty tensor (shape {value.shape}) is given to MLX's delegate, which refuses "
                'one without memory: "tensor has null data pointer"'
            )
        return to_mlx(value)

    def results(self, made: list[Any], declared: Sequence[Value], buffers: Buffers) -> list[Any]:
        """What `run` made, of the declared types, and evaluated."""
        try:
            outputs = [_output(*pair) for pair in zip(made, declared, strict=True)]
            made.clear()
            mx.eval([o for o in outputs if isinstance(o, mx.array)], buffers)
        except Exception as error:
            found = attributed(error)
            if found is None:
                raise
            raise found from error
        return [to_numpy(o) if isinstance(o, mx.array) else o for o in outputs]

    def bind(self, slots: Slots, slot: Any, argument: Any) -> None:
        """Put one argument in its slot, if its kind and type are the graph's."""
        if not isinstance(slot, Tid):
            if isinstance(argument, mx.array) or not INT32_MIN <= argument <= INT32_MAX:
                raise ExecutionError(f"{self.where}: {argument} is not a 32-bit integer")
        else:
            meta = self.graph.meta[slot.idx] if slot.idx < len(self.graph.meta) else None
            if not isinstance(argument, mx.array):
                raise ExecutionError(f"{self.where}: {argument} is given for a tensor")
            if meta is not None and argument.dtype != mlx_dtype(meta.scalar.number):
                wrong = f"a tensor of {argument.dtype} is given, expected {meta.scalar.name}"
                raise ExecutionError(f"{self.where}: {wrong}")
        slots.store(slot, argument)


def _output(made: Any, declared: Value) -> Any:
    """What a delegate made, cast to the declared type, if it fits the declared shape."""
    if not isinstance(made, mx.array):
        return made
    if not isinstance(declared, TensorValue):
        raise ExecutionError("its delegate makes a tensor where the plan has none")
    require_contiguous(declared, "an output")
    require_fit(declared, tuple(made.shape))
    return mx.contiguous(made).astype(mlx_dtype(declared.scalar_type))


def _shape(meta: TensorMeta) -> tuple[int, ...]:
    return tuple(dim.size for dim in meta.shape if dim.size is not None)
