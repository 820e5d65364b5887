"""Nodes made by hand, and run one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from harness.budget import LOCAL
from harness.float64 import slots as float64
from harness.float64.local import error_of
from harness.float64.semantics import WITHOUT, evaluate
from harness.float64.slots import Kept, widened
from harness.pte.flatbuffer import record
from harness.pte.payload import Tid, Vid
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx
from harness.runtime.portable.fp32_weights import Fp32Weights
from harness.runtime.portable.interpreter import OPS
from harness.runtime.portable.slots import Slots
from harness.runtime.portable.tensors import to_numpy


@pytest.fixture
def run_node() -> Callable[..., Any]:
    """Run one node made by hand: tensors and values are given by field name.

    ``run_node("AddNode", a=array, b=array)`` puts the arrays in slots, fills the other fields
    with the schema's defaults, and returns what the node makes. With `fp32_weights` the fast
    routes are taken, and `keep` lets them keep a copy of the node's weight. What it makes is held
    against the node's meaning in float64, too, unless `meant` is False.
    """

    def run(
        name: str,
        faithful: bool = False,
        fp32_weights: Fp32Weights | None = None,
        keep: bool = True,
        meant: bool = True,
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
        before = [to_numpy(tensor) for tensor in slots.tensors]
        with mx.stream(mx.cpu):
            made = OPS[name](node, slots)
            mx.eval(made)
        if meant and not faithful and name not in WITHOUT and made is not None:
            parts = made if isinstance(made, list) else [made]
            given_values = dict(enumerate(slots.values))
            judge_by_meaning(node, before, given_values, parts)
        return made

    return run


def judge_by_meaning(
    node: Any, tensors: list[np.ndarray], values: dict[int, Any], made: list[Any]
) -> None:
    """What a node made lies within what its float64 semantics allow."""
    slots = float64.Slots([], Kept(), {i: widened(tensor) for i, tensor in enumerate(tensors)})
    slots.values = values
    meant = evaluate(node, slots)
    for right, part in zip(meant, made, strict=True):
        array = to_numpy(part) if isinstance(part, mx.array) else part
        error = error_of(node, slots, right, array)
        assert error.share(LOCAL) <= 1.0, error


@dataclass(frozen=True)
class Dynamic:
    """A number that reaches a node through a value slot."""

    number: int


@pytest.fixture
def dynamic() -> type[Dynamic]:
    """`Dynamic(7)` stands for the number 7 in a value slot."""
    return Dynamic
