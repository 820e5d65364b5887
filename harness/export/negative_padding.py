"""Padding by a negative width, which crops: stock hands it to the delegate's Pad, which refuses."""

from __future__ import annotations

from typing import Any

from harness.export.emitting import emit

__all__ = ["crop_and_pad", "crops"]

_TO_THE_END = 2**63 - 1


def crops(node: Any) -> bool:
    """Whether any width of an ``aten.constant_pad_nd`` is negative."""
    return any(map(_negative, node.args[1]))


def crop_and_pad(builder: Any, node: Any) -> Any:
    """``aten.constant_pad_nd``: a Slice for each axis that is cropped, then the Pad of the rest."""
    x, widths, *rest = builder.args(node)
    value = float(rest[0]) if rest else 0.0
    rank = node.args[0].meta["val"].dim()
    pads = [0] * (2 * rank)
    steps = []
    for pair in range(len(widths) // 2):  # the last axis comes first
        axis, (left, right) = rank - 1 - pair, widths[2 * pair : 2 * pair + 2]
        if _negative(left) or _negative(right):
            start = -left if _negative(left) else 0
            steps.append((axis, start, right if _negative(right) else _TO_THE_END))
        pads[2 * axis : 2 * axis + 2] = [
            0 if _negative(width) else width for width in (left, right)
        ]
    padded = any(not isinstance(width, int) or width for width in pads)
    for axis, start, stop in steps:
        last = not padded and (axis, start, stop) == steps[-1]
        out = builder.make_or_get_slot(node) if last else None
        x = emit(builder, "SliceNode", out, x=x, axis=axis, start=start, stop=stop)
    if not padded:
        return x
    how = {"mode": "constant", "constant_value": value}
    return emit(builder, "PadNode", builder.make_or_get_slot(node), x=x, pad_width=pads, **how)


def _negative(width: Any) -> bool:
    return isinstance(width, int) and width < 0
