"""The local link: each node that an executor ran, against its meaning on the inputs it really had.

Nothing piles up: what a node is judged on is what the executor made of the nodes before it. A
fault of a kernel, of the interpreter or of a cache shows at the very node, in any precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.budget import LocalAllowance
from harness.errors import HarnessError
from harness.fingerprint import Regime
from harness.float64.rules import Kind, kind_of, roundoff, slack, spacing
from harness.float64.semantics import evaluate
from harness.float64.slots import Kept, Slots, is_float, widened
from harness.pte.payload import MLXGraph, Node, Slot, outputs_of

__all__ = ["NodeError", "Shadow", "error_of"]


@dataclass(frozen=True)
class NodeError:
    """How far one node was off in one call.

    Attributes
    ----------
    node
        Its type.
    worst
        The greatest error over what is allowed; over 1 is wrong. Infinite where a bit of an exact
        result differs, where a value is not finite and should be, or the other way round.
    index, made, meant
        Where that was, and the values there.
    allowed
        What was allowed there.
    gain, gain_z
        Least-squares gain of the error on the reference, and that over its standard error.
    bias, bias_z
        Mean error away from zero in units in the last place, and that over its standard error.
    shape, dtype
        Of what it made.
    """

    node: str
    worst: float
    index: tuple[int, ...] = ()
    made: float = 0.0
    meant: float = 0.0
    allowed: float = 0.0
    gain: float = 0.0
    gain_z: float = 0.0
    bias: float = 0.0
    bias_z: float = 0.0
    shape: tuple[int, ...] = ()
    dtype: str = ""

    def share(self, allowance: LocalAllowance) -> float:
        """How much of what is allowed was used; over 1 is wrong."""
        gain = self.gain / roundoff(self.dtype) if self.dtype else 0.0
        return allowance.share(self.worst, (gain, self.gain_z), (self.bias, self.bias_z))


@dataclass
class Shadow:
    """The slots of one delegate as an executor filled them, widened to float64.

    Attributes
    ----------
    graph, constants
        What runs, and the constants as the executor has them.
    regime
        How exactly the executor multiplies; None: in float32.
    meant
        What the last node means, an entry an output; none without float64 semantics.
    """

    graph: MLXGraph
    constants: Sequence[Array]
    regime: Regime | None = None
    meant: tuple[Any, ...] = ()
    kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self.slots = Slots(self.constants, self.kept)

    def enter(self, arguments: Sequence[Any], buffers: Sequence[Array]) -> None:
        """A call begins with these inputs, and these contents of the mutable buffers."""
        self.slots = Slots(self.constants, self.kept)
        slots: list[Slot] = [*self.graph.inputs, *self.graph.buffers]
        for slot, value in zip(slots, (*arguments, *buffers), strict=True):
            self.slots.store(slot, value)

    def step(self, node: Node, made: Sequence[Any]) -> NodeError | None:
        """Judge what a node made, then go on from that; None where it has no float64 semantics."""
        try:
            self.meant = evaluate(node, self.slots)
            pairs = zip(self.meant, made, strict=True)
            found = [error_of(node, self.slots, *pair, self.regime) for pair in pairs]
        except HarnessError:
            self.meant, found = (), []
        self.put(node, made)
        return max(found, key=lambda error: error.worst, default=None)

    def put(self, node: Node, made: Sequence[Any]) -> None:
        """Go on from these values of a node."""
        for slot, value in zip(outputs_of(node), made, strict=True):
            self.slots.store(slot, value)


def error_of(
    node: Node, slots: Slots, meant: Any, made: Any, regime: Regime | None = None
) -> NodeError:
    """How far one output of a node is off.

    Parameters
    ----------
    node, slots
        What computed, on what.
    meant, made
        The output in float64, and as an executor made it.
    regime
        How exactly the executor multiplies; None: in float32.
    """
    name = type(node).__name__
    if not isinstance(made, np.ndarray):
        return NodeError(name, 0.0 if made == meant else np.inf, (), made, float(meant))
    if made.shape != meant.shape:
        return NodeError(name, np.inf, shape=made.shape)
    if not is_float(made.dtype) or kind_of(node) is Kind.EXACT:
        return _exactly(node, slots, meant, made)
    with np.errstate(all="ignore"):
        return _within(name, meant, made, slack(node, slots, meant, made.dtype, regime))


def _exactly(node: Node, slots: Slots, meant: Array, made: Array) -> NodeError:
    """Equal, bit for bit; of equal elements it does not matter which one was chosen."""
    name = type(node).__name__
    if name.startswith("Arg"):
        x = slots.tensor(node.x)
        shape = meant.shape if meant.ndim == x.ndim else np.expand_dims(meant, node.axis).shape
        pick = (np.asarray(i).astype(np.int64).reshape(shape) for i in (meant, made))
        meant, made = (np.take_along_axis(x, index, node.axis) for index in pick)
        if name == "ArgPartitionNode":
            meant, made = np.sort(meant, node.axis), np.sort(made, node.axis)
    elif name == "PartitionNode":
        made = np.sort(widened(made), node.axis)
    wide = widened(made)
    wrong = ~((wide == meant) | ((wide != wide) & (meant != meant)))
    if not wrong.any():
        return NodeError(name, 0.0, shape=made.shape)
    index = np.unravel_index(int(wrong.argmax()), wrong.shape)
    place = tuple(int(i) for i in index)
    return NodeError(name, np.inf, place, float(wide[index]), float(meant[index]), shape=made.shape)


def _within(name: str, meant: Array, made: Array, allowed: Array | float) -> NodeError:
    wide = widened(made)
    error = wide - meant
    same = (wide == meant) | ((wide != wide) & (meant != meant))
    share = np.where(same, 0.0, np.abs(error) / allowed)
    share = np.where(np.isnan(share), np.inf, share)
    if not share.size:
        return NodeError(name, 0.0, shape=made.shape)
    index = np.unravel_index(int(share.argmax()), share.shape)
    place = tuple(int(i) for i in index)
    ok = np.isfinite(error) & np.isfinite(meant)
    gain = bias = (0.0, 0.0)
    if made.dtype.itemsize == 2:  # in float32 the bound on each element is as sharp by itself
        gain = _gain(error[ok], meant[ok])
        bias = _bias(error[ok], meant[ok], made.dtype)
    return NodeError(
        name,
        float(share[index]),
        place,
        made=float(wide[index]),
        meant=float(meant[index]),
        allowed=float(np.broadcast_to(allowed, share.shape)[index]),
        gain=gain[0],
        gain_z=gain[1],
        bias=bias[0],
        bias_z=bias[1],
        shape=made.shape,
        dtype=made.dtype.name,
    )


def _gain(error: Array, direction: Array) -> tuple[float, float]:
    """Least-squares gain of the error on a direction, and that over its standard error.

    Rows that say the same count once, or the standard error would be too small.
    """
    direction, first = np.unique(direction, return_index=True)
    error = error[first]
    power = float(direction @ direction)
    if direction.size < 3 or power == 0.0:
        return 0.0, 0.0
    gain = float(error @ direction) / power
    rest = error - gain * direction
    deviation = np.sqrt(float(rest @ rest) / (direction.size - 1) / power)
    return gain, float(gain / deviation) if deviation > 0 else 0.0


def _bias(error: Array, meant: Array, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Mean error away from zero, in units in the last place, over distinct values."""
    meant, first = np.unique(meant, return_index=True)
    steps = np.sign(meant) * error[first] / spacing(meant, dtype)
    if steps.size < 3:
        return 0.0, 0.0
    bias, deviation = float(steps.mean()), float(steps.std()) / np.sqrt(steps.size)
    return bias, float(bias / deviation) if deviation > 0 else 0.0
