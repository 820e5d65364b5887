"""One MLX delegate of a method, run wholly in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.errors import ExecutionError, HarnessError
from harness.float64.semantics import evaluate
from harness.float64.slots import Kept, Slots, widened
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.payload import MLXGraph, Node, Tid, outputs_of
from harness.pte.plan import TensorValue, Value
from harness.pte.program import Program

__all__ = ["Float64Delegate"]

Observer = Callable[[int, int, Node, tuple[Any, ...]], tuple[Any, ...] | None]
"""As of the portable executor's interpreter."""


def _raw_constants(program: Program, graph: MLXGraph) -> list[Array]:
    """The constant tensors of a delegate as the file has them, without copying."""
    found = []
    for index in range(graph.constants):
        meta = graph.meta[index]
        assert meta is not None
        data = program.data(program.named_data[graph.names[index]])
        found.append(np.frombuffer(data, meta.scalar.numpy).reshape(meta.sizes))
    return found


@dataclass
class Float64Delegate:
    """A delegate that is ready to run; constants are widened exactly when they are read."""

    graph: MLXGraph
    constants: list[Array]
    fresh: list[Array] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept)

    @classmethod
    def load(cls, program: Program, graph: MLXGraph) -> Float64Delegate:
        """Find the constants and run the init chain."""
        delegate = cls(graph, _raw_constants(program, graph))
        delegate.fresh = [delegate._zeros(tid) for tid in graph.buffers]
        if graph.init is not None:
            slots = delegate._slots(delegate.fresh)
            delegate._run(graph.init, slots, None)
            delegate.fresh = [slots.tensor(tid) for tid in graph.buffers]
            for index, made in slots.tensors.items():
                if index < graph.constants:
                    delegate.constants[index] = made
            # What was widened in the init chain may have been overwritten there.
            delegate.kept = Kept()
        return delegate

    def run(
        self,
        arguments: Sequence[Any],
        buffers: list[Any],
        observer: Observer | None = None,
        accelerated: bool = True,
    ) -> list[Any]:
        """Run the main chain; `buffers` are brought up to date."""
        slots = self._slots(buffers)
        for slot, argument in zip(self.graph.inputs, arguments, strict=True):
            slots.store(slot, argument)
        self._run(self.graph.main, slots, observer)
        buffers[:] = [slots.tensor(tid) for tid in self.graph.buffers]
        return [slots.at(slot) for slot in self.graph.outputs]

    def argument(self, value: Array, declared: TensorValue) -> Array:
        """A tensor of the plan as it is."""
        return value

    def results(self, made: list[Any], declared: Sequence[Value], buffers: list[Any]) -> list[Any]:
        """What `run` made: integers of the declared types, floating point in float64."""
        return [
            np.array(value, SCALAR_TYPES[want.scalar_type].numpy, order="C")
            if isinstance(want, TensorValue)
            else value
            for value, want in zip(made, declared, strict=True)
        ]

    def _zeros(self, tid: Tid) -> Array:
        meta = self.graph.meta_of(tid.idx)
        if meta is None or any(dim.size is None for dim in meta.shape):
            raise ExecutionError(f"buffer {tid.idx} has no static shape")
        return widened(np.zeros(meta.sizes, meta.scalar.numpy))

    def _slots(self, buffers: Sequence[Array]) -> Slots:
        slots = Slots(self.constants, self.kept)
        for tid, contents in zip(self.graph.buffers, buffers, strict=True):
            slots.store(tid, contents)
        return slots

    def _run(self, chain: int, slots: Slots, observer: Observer | None) -> None:
        for position, node in enumerate(self.graph.chains[chain]):
            try:
                if type(node).__name__ == "IfNode":
                    chosen = slots.value(node.cond)
                    self._run(
                        node.then_chain_idx if chosen else node.else_chain_idx, slots, observer
                    )
                elif type(node).__name__ == "ScanNode":
                    self._scan(node, slots, observer)
                else:
                    for slot, made in zip(outputs_of(node), evaluate(node, slots), strict=True):
                        slots.store(slot, made)
            except HarnessError as error:
                kind = type(error)
                raise kind(f"instruction {position} ({type(node).__name__}): {error}") from error
            if observer is None:
                continue
            outputs = outputs_of(node)
            instead = observer(chain, position, node, tuple(map(slots.at, outputs)))
            if instead is not None:
                for slot, value in zip(outputs, instead, strict=True):
                    slots.store(slot, value)

    def _scan(self, node: Node, slots: Slots, observer: Observer | None) -> None:
        """Run the body for each slice along an axis, and stack what it makes."""
        axis = node.scan_axis
        collected: list[list[Array]] = [[] for _ in node.outputs]
        for turn in range(slots.tensor(node.originals[0]).shape[axis]):
            for original, sliced in zip(node.originals, node.sliced, strict=True):
                slots.store(sliced, np.take(slots.tensor(original), turn, axis=axis))
            self._run(node.body_chain_idx, slots, observer)
            for output, parts in zip(node.outputs, collected, strict=True):
                parts.append(slots.tensor(output))
        for output, parts in zip(node.outputs, collected, strict=True):
            slots.store(output, np.stack(parts, axis))
