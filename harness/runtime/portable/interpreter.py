"""Run the instruction chains of an MLX payload over `mlx.core`, as upstream's interpreter does.

Each node type has one function, from the node and the slots to what the node makes; this module
finds it, stores the result, and says where a failure happened. Scans and branches, which run
other chains, are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import ExecutionError, UnsupportedError
from harness.pte.payload import MLXGraph, Node, outputs_of
from harness.runtime.portable import (
    attention,
    kv_cache,
    ops_index,
    ops_linear,
    ops_math,
    ops_reduce,
    ops_shape,
)
from harness.runtime.portable.blas import mx
from harness.runtime.portable.ops_shape import LARGEST_BYTES
from harness.runtime.portable.slots import Slots

__all__ = ["OPS", "UNSUPPORTED", "Stop", "Trace", "run_chain"]

Trace = Callable[[int, int, Node, tuple[Any, ...]], tuple[Any, ...] | None]
"""Called after each node with its chain, its index in the chain, the node, and what it made.

What it returns, unless None, takes the place of what the node made; raising `Stop` ends the run.
"""


class Stop(BaseException):
    """A trace has seen what it wanted; no error, so that nothing explains it as one."""


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    **ops_math.OPS,
    **ops_shape.OPS,
    **ops_index.OPS,
    **ops_reduce.OPS,
    **ops_linear.OPS,
    **attention.OPS,
    **kv_cache.OPS,
}

UNSUPPORTED = {
    "MetalKernelNode": "a Metal kernel, which runs on Apple GPUs only",
}
_CONTROL = {"IfNode", "ScanNode"}
_VIEWS = {"AsStridedNode", "BroadcastToNode", "IdCopyNode"}


def run_chain(
    graph: MLXGraph, chain: int, slots: Slots, where: str, trace: Trace | None = None
) -> None:
    """Run one chain; `slots` holds its inputs and receives what it makes.

    Parameters
    ----------
    where
        Names the method in errors.
    trace
        Told what each node made, in order; inner chains of scans and branches included.

    Raises
    ------
    ExecutionError
        A node refuses; the message names the method, the instruction and the node type. It is an
        `UnsupportedError` where the node cannot run on this machine.
    """
    for index, node in enumerate(graph.chains[chain]):
        name = type(node).__name__
        try:
            if name in _CONTROL:
                made = _control(graph, node, slots, f"{where}, {name} {index}", trace)
            else:
                made = _run(name, node, slots)
        except (_LocatedError, _LocatedUnsupportedError):
            raise
        except Exception as error:
            located = (
                _LocatedUnsupportedError if isinstance(error, UnsupportedError) else _LocatedError
            )
            raise located(f"{where}, instruction {index} ({name}): {error}") from error
        if trace is not None:
            instead = trace(chain, index, node, made)
            if instead is not None:
                for slot, value in zip(outputs_of(node), instead, strict=True):
                    slots.store(slot, value)


class _LocatedError(ExecutionError):
    """An error that already names its instruction."""


class _LocatedUnsupportedError(UnsupportedError):
    """An instruction that cannot run here, named."""


def _run(name: str, node: Node, slots: Slots) -> tuple[Any, ...]:
    operation = OPS.get(name)
    if operation is None:
        raise UnsupportedError(f"not supported here: {UNSUPPORTED.get(name, name)}")
    result = operation(node, slots)
    if result is None:
        return ()
    if isinstance(result, list):
        for slot, part in zip(node.outs, result, strict=True):
            slots.store(slot, part)
        return tuple(result)
    # MLX aborts the process when memory runs out during evaluation, so sizes are bounded before;
    # a view takes no memory.
    if name not in _VIEWS and isinstance(result, mx.array) and result.nbytes > LARGEST_BYTES:
        raise ExecutionError(f"its result of shape {result.shape} takes more than 4 GB")
    slots.store(node.out, result)
    return (result,)


def _control(
    graph: MLXGraph, node: Node, slots: Slots, where: str, trace: Trace | None
) -> tuple[Any, ...]:
    if type(node).__name__ == "IfNode":
        chosen = node.then_chain_idx if slots.integer(node.cond) else node.else_chain_idx
        run_chain(graph, chosen, slots, where, trace)
        return ()
    axis = node.scan_axis
    steps = slots.tensor(node.originals[0]).shape[axis]
    collected: list[list[Any]] = [[] for _ in node.outputs]
    for step in range(steps):
        for original, sliced in zip(node.originals, node.sliced, strict=True):
            slots.store(sliced, mx.take(slots.tensor(original), step, axis=axis))
        run_chain(graph, node.body_chain_idx, slots, where, trace)
        for output, parts in zip(node.outputs, collected, strict=True):
            parts.append(slots.tensor(output))
    for output, parts in zip(node.outputs, collected, strict=True):
        slots.store(output, mx.stack(parts, axis=axis))
    return tuple(slots.tensor(output) for output in node.outputs)
