"""Compute once what no call changes: transposed weights, masks, ranges, tables.

A step of the main chain whose operands are constants makes the same in every call. It is computed
when a delegate first runs, by the same function, so that no bit changes; steps that are needed by
other folded steps only are left out from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.pte.payload import OUTPUT_FIELDS, MLXGraph, Node, Slot, Tid, Vid
from harness.runtime.portable import attention
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import Chains, Op, Step
from harness.runtime.portable.slots import Slots

__all__ = ["Folded", "fold"]

_CONTROL = {"IfNode", "ScanNode"}
_NEVER = {"RandomBitsNode", "UpdateAndAttendNode", "ItemIntNode"}
"""Nodes that differ from call to call, or warn in each."""

_MOST_KEPT = 512 << 20
"""Bytes that folded values of one delegate may take."""


@dataclass(frozen=True)
class Folded:
    """The main chain of a graph."""

    whole: Sequence[Step]  # every step, for an observer
    lean: Sequence[Step]  # what has to be done in each call; the outputs have the same bits


def fold(graph: MLXGraph, chains: Chains, slots: Slots) -> Folded:
    """Fold the main chain of `graph`."""
    steps = chains[graph.main]
    # What the chains of scans and branches write is not followed.
    if any(type(step.node).__name__ in _CONTROL for step in steps):
        return Folded(steps, steps)
    known = _evaluate(graph, steps, slots)
    folded = set(known)
    kept = {position: known[position] for position in _needed(graph, steps, folded)}
    # Equal steps share what they make, and a transposed weight takes no memory of its own.
    own = {
        id(made): made
        for made, node in ((made, steps[p].node) for p, made in kept.items())
        if type(node).__name__ != "TransposeNode" or node.x.idx >= graph.constants
    }
    if sum(p.nbytes for m in own.values() for p in m if isinstance(p, mx.array)) > _MOST_KEPT:
        return Folded(steps, steps)
    # Nothing else may hold what lies between, or its memory would not be given back.
    known.clear()
    current: dict[Slot, Any] = {Tid(i): slots.tensors[i] for i in range(graph.constants)}
    slots.tensors[graph.constants :] = [None] * (graph.tensors - graph.constants)
    mx.eval([part for made in kept.values() for part in made if isinstance(part, mx.array)])
    whole, lean = [], []
    for position, step in enumerate(steps):
        if slots.fp32_weights is not None:
            step = _specialised(step, current)
        whole.append(step)
        if position in kept:
            current |= zip(step.outputs, kept[position], strict=True)
            lean.append(step._replace(op=_giving(kept[position], step)))
            continue
        for slot in step.outputs:
            current.pop(slot, None)
        if position not in folded:
            lean.append(step)
    return Folded(whole, lean)


def _evaluate(graph: MLXGraph, steps: Sequence[Step], slots: Slots) -> dict[int, tuple[Any, ...]]:
    """What steps make of constants, by position and not evaluated yet."""
    settled: dict[Slot, Any] = {Tid(number): number for number in range(graph.constants)}
    made_before: dict[Any, tuple[Any, ...]] = {}
    known: dict[int, tuple[Any, ...]] = {}
    for position, step in enumerate(steps):
        node, name = step.node, type(step.node).__name__
        made, key = None, None
        overwrites = any(isinstance(o, Tid) and o.idx < graph.constants for o in step.outputs)
        if not overwrites and name not in _NEVER and all(slot in settled for slot in reads(node)):
            key = (name, _identity(_operands(node), settled))
            made = made_before.get(key) or _computed(step, slots)
        for number, slot in enumerate(step.outputs):
            if made is None:
                settled.pop(slot, None)
            else:
                settled[slot] = (key, number)
                slots.store(slot, made[number])
        if made:
            known[position] = made_before[key] = made
    return known


def _computed(step: Step, slots: Slots) -> tuple[Any, ...] | None:
    """What a step makes; None where it refuses, which the call itself has to say."""
    assert step.op is not None
    try:
        made = step.op(step.node, slots)
    except Exception:
        return None
    parts = tuple(made) if isinstance(made, list) else (made,)
    return parts if made is not None and len(parts) == len(step.outputs) else None


def _giving(made: tuple[Any, ...], step: Step) -> Op:
    """A function that makes what was made before."""
    value = made[0] if getattr(step.node, "out", None) is not None else list(made)
    return lambda n, s: value


def _specialised(step: Step, known: Mapping[Slot, Any]) -> Step:
    """A step with a faster function, if an operand that it needs is known."""
    if type(step.node).__name__ != "SdpaNode" or step.node.mask not in known:
        return step
    op = attention.specialised(known[step.node.mask])
    return step if op is None else step._replace(op=op)


def _needed(graph: MLXGraph, steps: Sequence[Step], folded: set[int]) -> set[int]:
    """Folded steps of which another step, or the caller, reads what they made."""
    writer: dict[Slot, int] = {}
    needed: set[int] = set()
    for position, step in enumerate(steps):
        if position not in folded:
            needed |= {writer[slot] for slot in reads(step.node) if slot in writer}
        writer |= dict.fromkeys(step.outputs, position)
    needed |= {writer[slot] for slot in (*graph.outputs, *graph.buffers) if slot in writer}
    return needed & folded


def _operands(node: Node) -> list[Any]:
    return [value for name, value in vars(node).items() if name not in OUTPUT_FIELDS]


def reads(node: Node) -> list[Slot]:
    """The slots that a node reads."""
    found: list[Slot] = []

    def collect(value: Any) -> None:
        if isinstance(value, (Tid, Vid)):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            for item in value:
                collect(item)

    collect(_operands(node))
    return found


def _identity(value: Any, settled: dict[Slot, Any]) -> Any:
    """`value` with every slot replaced by what is in it; equal for equal operands."""
    if isinstance(value, (Tid, Vid)):
        return "in slot", settled[value]
    if isinstance(value, (tuple, list)):
        return tuple(_identity(item, settled) for item in value)
    # 1, 1.0 and True are equal, and not the same literal; -0.0 and NaN have their own.
    return type(value).__name__, repr(value)
