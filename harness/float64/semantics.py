"""The meaning of every node type, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from harness.errors import ExecutionError, HarnessError, UnsupportedError
from harness.float64 import elementwise, linear, shape
from harness.float64.slots import Slots
from harness.pte.payload import Node

__all__ = ["OPS", "WITHOUT", "evaluate"]

OPS: Mapping[str, Callable[[Node, Slots], Any]] = {
    **elementwise.OPS,
    **shape.OPS,
    **linear.OPS,
}

WITHOUT: Mapping[str, str] = {
    "MetalKernelNode": "a program in Metal's own language",
    "RandomBitsNode": "random bits, which are no real numbers",
    "UpdateAndAttendNode": "attention over a cache that the host keeps outside of the program",
}
"""Node types without float64 semantics, and why."""


def evaluate(node: Node, slots: Slots) -> tuple[Any, ...]:
    """What a node makes of what is in `slots`, one value an output.

    Raises
    ------
    UnsupportedError
        The node type has no float64 semantics.
    ExecutionError
        The node does not fit its operands.
    """
    name = type(node).__name__
    op = OPS.get(name)
    if op is None:
        raise UnsupportedError(f"{name} has no float64 semantics: {WITHOUT.get(name, 'unknown')}")
    try:
        with np.errstate(all="ignore"):
            made = op(node, slots)
    except HarnessError:
        raise
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise ExecutionError(f"{name}: {error}") from error
    if made is None:
        return ()
    return tuple(made) if isinstance(made, list) else (made,)
