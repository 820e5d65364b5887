"""The local link: each node that an executor ran, against its meaning on the inputs it really had.

Nothing piles up: what a node is judged on is what the executor made of the nodes before it. A
fault of a kernel, of the interpreter or of a cache shows at the very node, in any precision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.budget import LocalAllowance
from harness.compare.metrics import unravel
from harness.errors import HarnessError
from harness.fingerprint import Regime
from harness.float64.linear import attention_by_scale
from harness.float64.rules import Kind, kind_of, roundoff, slack, spacing
from harness.float64.semantics import evaluate
from harness.float64.slots import Kept, Slots, is_float, widened
from harness.pte.payload import MLXGraph, Node, Slot, outputs_of

__all__ = ["NodeError", "Shadow", "error_of", "error_within", "first_unequal"]


_ROWS = {"LayerNormNode", "RMSNormNode", "SdpaNode", "SoftmaxNode"}
"""Nodes that multiply a whole row by one factor, which was rounded once."""

_FEWEST = 8
"""Samples of which a mean says something."""


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
    scale, scale_z
        Of attention: by how much its scores seem scaled otherwise, and that over its standard
        error. The output's gain alone hides it where one key has nearly all of the weight.
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
    scale: float = 0.0
    scale_z: float = 0.0
    bias: float = 0.0
    bias_z: float = 0.0
    shape: tuple[int, ...] = ()
    dtype: str = ""

    def share(self, allowance: LocalAllowance) -> float:
        """How much of what is allowed was used; over 1 is wrong."""
        gain = self.gain / roundoff(self.dtype) if self.dtype else 0.0
        rows = self.node in _ROWS
        share = allowance.share(self.worst, (gain, self.gain_z), (self.bias, self.bias_z), rows)
        return max(
            share, min(abs(self.scale) / allowance.scale, abs(self.scale_z) / allowance.scale_z)
        )


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
        found = error_within(name, meant, made, slack(node, slots, meant, made.dtype, regime))
        if name == "SdpaNode" and made.dtype.itemsize == 2:
            scale = _scale(widened(made) - meant, roundoff(made.dtype.name), node, slots)
            found = dataclasses.replace(found, scale=scale[0], scale_z=scale[1])
        return found


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
    return first_unequal(name, made, meant)


def first_unequal(name: str, made: Array, meant: Array) -> NodeError:
    """Where `made` is another number than `meant`, of the same shape; NaN equals NaN."""
    wide = widened(made)
    wrong = ~_same(wide, meant)
    if not wrong.any():
        return NodeError(name, 0.0, shape=made.shape)
    index = unravel(int(wrong.argmax()), wrong.shape)
    return NodeError(name, np.inf, index, float(wide[index]), float(meant[index]), shape=made.shape)


def _same(a: Array, b: Array) -> Array:
    """Where two are equal, or both NaN."""
    same: Array = (a == b) | ((a != a) & (b != b))
    return same


def error_within(name: str, meant: Array, made: Array, allowed: Array | float) -> NodeError:
    """How far floating-point values are off, in each element of what is allowed there."""
    wide = widened(made)
    error = wide - meant
    # What is meant may be beyond the type, and is an infinity in it.
    over = ~np.isfinite(wide) & _same(wide, widened(meant.astype(made.dtype)))
    share = np.where(over | _same(wide, meant), 0.0, np.abs(error) / allowed)
    share = np.where(np.isnan(share), np.inf, share)
    if not share.size:
        return NodeError(name, 0.0, shape=made.shape)
    index = unravel(int(share.argmax()), share.shape)
    ok = np.isfinite(error) & np.isfinite(meant)
    gain = bias = (0.0, 0.0)
    if made.dtype.itemsize == 2:  # in float32 the bound on each element is as sharp by itself
        if name in _ROWS:
            gain, bias = _by_rows(error, meant, made.dtype)
        else:
            gain, bias = _gain(error[ok], meant[ok]), _bias(error[ok], meant[ok], made.dtype)
    return NodeError(
        name,
        float(share[index]),
        index,
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


_SAMPLES = 6
"""As many values of equal size as a gain's standard error needs at least."""


def _gain(error: Array, direction: Array) -> tuple[float, float]:
    """Least-squares gain of the error on a direction, and that over its standard error.

    Rows that say the same count once, or the standard error would be too small.
    """
    direction, first = np.unique(direction, return_index=True)
    error = error[first]
    power = float(direction @ direction)
    # Where one value outweighs all others, they are one sample, however many there are.
    if power == 0.0 or power**2 < _SAMPLES * float((direction**4).sum()):
        return 0.0, 0.0
    gain = float(error @ direction) / power
    rest = error - gain * direction
    deviation = np.sqrt(float(rest @ rest) / (direction.size - 1) / power)
    return gain, float(gain / deviation) if deviation > 0 else 0.0


_SURE = 5.0
"""Standard errors, by rows, from which attention's scale says something.

Of 1176 right kernels (16-bit q and k of 1 to 32 times normal) 69 were red by elements alone, and at
4.3 at most by rows; a scale that is 1 % off, on normal ones in bfloat16, is at 51 and more there.
"""

_SCORES_OFF = 0.1
"""By how much scores may be rounded in a row whose output still follows its derivative.

By 0.2 and more a right kernel seems scaled otherwise by 0.6 % and more: the mean of exponentials is
another than that of their logarithms. In bfloat16 that leaves scores of up to 25 or so.
"""

_LARGEST_OF_FEW = 8.0
"""Scores of all rows where these are too few to be samples, as in a step of one query.

There the elements alone decide: of 3360 right kernels (2 to 32 rows; 16-bit q and k of 1 to 8 times
normal) none was red. Without that limit up to 21 of 40 were. 1 % off is red with normal ones.
"""


def _scale(error: Array, unit: float, node: Node, slots: Slots) -> tuple[float, float]:
    """By how much attention's scores seem scaled otherwise, and that over its standard error.

    The elements of a row have the errors of its scores in common, so that they may be sure of what
    is chance in a few rows of large scores: the rows, each as one sample, must be sure as well, or
    the scores small where these are too few.
    """
    direction, size = attention_by_scale(node, slots)
    ok = np.isfinite(error).all(-1) & (unit * size <= _SCORES_OFF)
    error, direction = error[ok], direction[ok]
    over = _over_by_rows(error, direction)
    unsure = size.max(initial=0.0) > _LARGEST_OF_FEW if over is None else abs(over) < _SURE
    if unsure:
        return 0.0, 0.0
    return _gain(error.ravel(), direction.ravel())


def _over_by_rows(error: Array, direction: Array) -> float | None:
    """`_gain` over its standard error where a whole row is one sample, of the weight of its power.

    None of fewer than `_SAMPLES` rows, or where one outweighs the others.
    """
    power, first = np.unique((direction * direction).sum(-1), return_index=True)
    total = float(power.sum())
    if total**2 <= _SAMPLES * float(power @ power):
        return None
    along = (error * direction).sum(-1)[first]
    rest = along - along.sum() / total * power
    deviation = np.sqrt(float(rest @ rest))
    return float(along.sum() / deviation) if deviation > 0 else 0.0


def _bias(error: Array, meant: Array, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Mean error away from zero, in units in the last place, over distinct values."""
    meant, first = np.unique(meant, return_index=True)
    return _mean(np.sign(meant) * error[first] / spacing(meant, dtype))


def _by_rows(
    error: Array, meant: Array, dtype: np.dtype[Any]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Gain and bias where a whole row shares one rounded factor: each row is one sample."""
    rows, wrong = meant.reshape(-1, meant.shape[-1]), error.reshape(-1, meant.shape[-1])
    power = (rows * rows).sum(-1)
    ok = np.isfinite(power) & (power > 0) & np.isfinite(wrong).all(-1)
    _, first = np.unique(power[ok], return_index=True)
    rows, wrong, power = (part[ok][first] for part in (rows, wrong, power))
    steps = (np.sign(rows) * wrong / spacing(rows, dtype)).mean(-1)
    return _mean((rows * wrong).sum(-1) / power), _mean(steps)


def _mean(samples: Array) -> tuple[float, float]:
    """A mean, and that over its standard error; of few samples neither says anything."""
    if samples.size < _FEWEST:
        return 0.0, 0.0
    mean, deviation = float(samples.mean()), float(samples.std()) / np.sqrt(samples.size)
    return mean, float(mean / deviation) if deviation > 0 else 0.0
