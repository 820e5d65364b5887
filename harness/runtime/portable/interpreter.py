"""Run the instruction chains of an MLX payload over `mlx.core`, as upstream's interpreter does.

Each node type has one function, from the node and the slots to what the node makes. `bind` finds
it once, when a program is loaded; `run_chain` stores the results and says where a failure
happened. Scans and branches, which run other chains, are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harness.errors import ExecutionError, MachineError, UnsupportedError
from harness.pte.payload import MLXGraph, Node, Slot, Tid, outputs_of
from harness.runtime.portable import attention, ops_index, ops_linear, ops_math, ops_shape
from harness.runtime.portable.blas import mx
from harness.runtime.portable.refusals import attributed, prefixed
from harness.runtime.portable.slots import Slots
from harness.runtime.portable.tensors import LARGEST_BYTES

__all__ = ["OPS", "UNSUPPORTED", "Chains", "Observer", "Op", "Step", "Stop", "bind", "run_chain"]

Op = Callable[[Node, Slots], Any]

Observer = Callable[[int, int, Node, tuple[Any, ...]], tuple[Any, ...] | None]
"""Called after each node with its chain, its index in the chain, the node, and what it made.

What it returns, unless None, takes the place of what the node made; raising `Stop` ends the run.
"""


class Stop(BaseException):
    """An observer has seen what it wanted; no error, so that nothing explains it as one."""


class Step(NamedTuple):
    """A node, ready to run."""

    position: int  # in its chain
    node: Node
    outputs: tuple[Slot, ...]  # the slots that the node writes, in the order of what it makes
    op: Op | None  # makes what goes there; None for scans and branches
    target: int | None  # the one tensor slot that it writes, where a plain result goes


Chains = Sequence[Sequence[Step]]
"""Of a graph, by number."""

_MODULES = (ops_math, ops_shape, ops_index, ops_linear, attention)
OPS: dict[str, Op] = {name: op for module in _MODULES for name, op in module.OPS.items()}

UNSUPPORTED = {"MetalKernelNode": "a Metal kernel, which runs on Apple GPUs only"}
_CONTROL = {"IfNode", "ScanNode"}
_VIEWS = {"AsStridedNode", "BroadcastToNode", "IdCopyNode"}


def bind(graph: MLXGraph) -> Chains:
    """The steps of every chain of `graph`."""
    return [
        tuple(_step(position, node, graph.constants) for position, node in enumerate(chain))
        for chain in graph.chains
    ]


def _step(position: int, node: Node, constants: int) -> Step:
    name = type(node).__name__
    outputs = tuple(outputs_of(node))
    if name in _CONTROL:
        return Step(position, node, outputs, None, None)
    op = OPS.get(name) or _refusing(name)
    out: Any = getattr(node, "out", None)
    single = isinstance(out, Tid) and out.idx >= constants and name not in _VIEWS
    return Step(position, node, outputs, op, out.idx if single else None)


def _refusing(name: str) -> Op:
    def op(n: Node, s: Slots) -> Any:
        raise UnsupportedError(f"not supported here: {UNSUPPORTED.get(name, name)}")

    return op


def run_chain(
    chains: Chains,
    chain: int,
    slots: Slots,
    where: str,  # names the method in errors
    observer: Observer | None = None,
    steps: Sequence[Step] | None = None,  # what to run instead of all of the chain's steps
) -> None:
    """Run one chain; `slots` holds its inputs and receives what it makes."""
    tensors = slots.tensors
    for step in chains[chain] if steps is None else steps:
        position, node, outputs, op, target = step
        try:
            if op is None:
                _control(chains, step, slots, where, observer)
            else:
                made = op(node, slots)
                if target is None:
                    _store(step, made, slots)
                else:
                    # MLX aborts the process when memory runs out during evaluation, so sizes
                    # are bounded before.
                    if made.nbytes > LARGEST_BYTES:
                        raise MachineError(f"its result of shape {made.shape} takes more than 4 GB")
                    tensors[target] = made
        except Exception as error:
            found = attributed(error)
            if found is None:
                raise
            if str(found).startswith(f"{where}, "):  # an inner chain's, which names its step
                raise found from error
            place = f"{where}, instruction {position} ({type(node).__name__})"
            raise prefixed(place, found) from error
        if observer is not None:
            instead = observer(chain, position, node, tuple(map(slots.at, outputs)))
            if instead is not None:
                for slot, value in zip(outputs, instead, strict=True):
                    slots.store(slot, value)


def _store(step: Step, made: Any, slots: Slots) -> None:
    """Write what a step made: several tensors, a number, a constant in the init chain, a view."""
    if made is None:
        return
    made = made if isinstance(made, list) else [made]
    if len(made) != len(step.outputs):
        raise ExecutionError(f"it makes {len(made)} results for {len(step.outputs)} outputs")
    for slot, part in zip(step.outputs, made, strict=True):
        slots.store(slot, part)


def _control(
    chains: Chains, step: Step, slots: Slots, where: str, observer: Observer | None
) -> None:
    node = step.node
    name = type(node).__name__
    where = f"{where}, {name} {step.position}"
    if name == "IfNode":
        chosen = node.then_chain_idx if slots.integer(node.cond) else node.else_chain_idx
        run_chain(chains, chosen, slots, where, observer)
        return
    if not node.originals or len(node.originals) != len(node.sliced):
        raise ExecutionError(
            f"it scans {len(node.originals)} tensors into {len(node.sliced)} slices"
        )
    axis = ops_shape.axis_of(node.scan_axis, slots.tensor(node.originals[0]).ndim)
    collected: list[list[Any]] = [[] for _ in node.outputs]
    for turn in range(slots.tensor(node.originals[0]).shape[axis]):
        for original, sliced in zip(node.originals, node.sliced, strict=True):
            slots.store(sliced, mx.take(slots.tensor(original), turn, axis=axis))
        run_chain(chains, node.body_chain_idx, slots, where, observer)
        for output, parts in zip(node.outputs, collected, strict=True):
            parts.append(slots.tensor(output))
    for output, parts in zip(node.outputs, collected, strict=True):
        slots.store(output, mx.stack(parts, axis=axis))
