"""Nodes made by hand, and run one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from harness.pte.flatbuffer import record
from harness.pte.payload import Tid, Vid
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx
from harness.runtime.portable.fp32_weights import Fp32Weights
from harness.runtime.portable.interpreter import OPS
from harness.runtime.portable.slots import Slots


@pytest.fixture
def run_node() -> Callable[..., Any]:
    """Run one node made by hand: tensors and values are given by field name.

    ``run_node("AddNode", a=array, b=array)`` puts the arrays in slots, fills the other fields
    with the schema's defaults, and returns what the node makes. With `fp32_weights` the fast
    routes are taken, and `keep` lets them keep a copy of the node's weight.
    """

    def run(
        name: str,
        faithful: bool = False,
        fp32_weights: Fp32Weights | None = None,
        keep: bool = True,
        **given: Any,
    ) -> Any:
        slots = Slots([], [], constants=0, faithful=faithful, fp32_weights=fp32_weights)

        def placed(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                value = mx.array(value)
            if isinstance(value, mx.array):
                slots.tensors.append(value)
                return Tid(len(slots.tensors) - 1)
            if isinstance(value, Dynamic):
                slots.values.append(value.number)
                return Vid(len(slots.values) - 1)
            if isinstance(value, (list, tuple)):
                return tuple(placed(item) for item in value)
            return value

        fields = mlx_schema().tables[name]
        values = [
            placed(given.get(f.name, () if f.type.kind == "vector" else f.default)) for f in fields
        ]
        node = record(name, tuple(f.name for f in fields))(*values)
        if fp32_weights is not None and keep:
            fp32_weights.chosen = {id(node): ("its weight",)}
        with mx.stream(mx.cpu):
            made = OPS[name](node, slots)
            mx.eval(made)
        return made

    return run


@dataclass(frozen=True)
class Dynamic:
    """A number that reaches a node through a value slot."""

    number: int


@pytest.fixture
def dynamic() -> type[Dynamic]:
    """`Dynamic(7)` stands for the number 7 in a value slot."""
    return Dynamic
