"""How numbers, indices and shapes are spelt, so that every message spells them alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["count", "number", "place", "shape"]


def number(value: float, digits: int = 2) -> str:
    """`value` with `digits` significant digits: ``3.1e-4``, ``0.61``, ``5.0e4``, ``inf``.

    Whole numbers are counts and keep every digit: ``0``, ``12``, ``13,935``.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if -3 <= int(exponent) < max(4, digits):
        return f"{value:.{max(0, digits - 1 - int(exponent))}f}"
    return f"{mantissa}e{int(exponent)}"


def place(position: Sequence[int], called: bool = False) -> str:
    """An element's position, e.g. ``(0, 7, 12)``; `called`: ``call 3, (0, 7, 12)``."""
    numbers = [str(int(i)) for i in position]
    if called:
        return f"call {numbers[0]}, ({', '.join(numbers[1:])})"
    return f"({', '.join(numbers)})"


def shape(sizes: Sequence[int]) -> str:
    """A tensor's sizes, e.g. ``1×7×128``; ``scalar`` for none."""
    return "×".join(str(int(n)) for n in sizes) or "scalar"


def count(n: int, noun: str) -> str:
    """`n` with its noun, e.g. ``1 element``, ``1,024 elements``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
