"""Dynamic shapes in each form that torch takes: each tensor gets its own, others are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import AdditionalInputs, Dim, ShapesCollection

from harness.anymodel import Model
from harness.anymodel.tracing import trace
from harness.errors import InputError

X, Y = torch.ones(2, 3), torch.zeros(3, 4)
ROWS = {0: Dim("n", min=1, max=9)}


class Product(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y


class Star(nn.Module):
    def forward(self, *pair: Tensor) -> Tensor:
        return pair[0] @ pair[1]


class Keywords(nn.Module):
    def forward(self, x: Tensor, *, a: Tensor, **more: Tensor) -> Tensor:
        return x @ a + more["b"]


class Times(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x * n


def collected() -> ShapesCollection:
    shapes = ShapesCollection()
    shapes[X] = ROWS
    return shapes


def more() -> AdditionalInputs:
    shapes = AdditionalInputs()
    shapes.add((torch.ones(5, 3), Y))
    return shapes


def dynamic(model: Model, precision: str | None = None) -> list[list[bool]]:
    """Which sizes of each input of the program may change."""
    nodes = trace(model, precision).program.graph.find_nodes(op="placeholder")
    return [[not isinstance(s, int) for s in node.meta["val"].shape] for node in nodes]


@pytest.mark.parametrize("precision", [None, "bf16"])
@pytest.mark.parametrize(
    "shapes", [collected, more, lambda: (ROWS, None), lambda: {"y": {}, "x": ROWS}]
)
def test_each_form_says_the_same(shapes: Callable[[], Any], precision: str | None) -> None:
    model = Model(Product(), (X, Y), dynamic_shapes=shapes())
    assert dynamic(model, precision) == [[True, False], [False, False]]


@pytest.mark.parametrize("shapes", [None, {}, (), [], ShapesCollection()])
def test_empty_ones_let_no_shape_change(shapes: Any) -> None:
    model = Model(Product(), (X, Y), dynamic_shapes=shapes)
    assert dynamic(model) == [[False, False], [False, False]]
    program = torch.export.export(Product(), (X, Y), dynamic_shapes=(ROWS, None))
    assert dynamic(replace(model, module=program)) == [[True, False], [False, False]]


def test_arguments_of_a_star_are_a_tuple() -> None:
    model = Model(Star(), (X, Y), dynamic_shapes={"pair": (ROWS, None)})
    assert dynamic(model) == [[True, False], [False, False]]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_keywords_have_their_own_shapes_in_any_order(order: str) -> None:
    given = {"a": Y, "b": torch.ones(2, 4)}
    kwargs = {name: given[name] for name in order}
    shapes = {"x": ROWS, "a": None, "more": {"b": ROWS}}
    wanted = {"a": [False, False], "b": [True, False]}
    found = dynamic(Model(Keywords(), (X,), kwargs, dynamic_shapes=shapes))
    assert found == [[True, False], *(wanted[name] for name in order)]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: Model(Product(), (X, Y), dynamic_shapes=Dim("n")), "must name the arguments x, y"),
        (lambda: Model(Product(), (X, Y), dynamic_shapes=(ROWS,)), "an entry for each"),
        (lambda: Model(Product(), (X, Y), dynamic_shapes=(ROWS, None, None)), "an entry for each"),
        (lambda: Model(Product(), (X + 1, Y), dynamic_shapes=collected()), "do not fit the exam"),
        (lambda: Model(Product(), (X,), dynamic_shapes=(ROWS, None)), "missing a required arg"),
        (lambda: Model(Star(), (X, Y), dynamic_shapes=(ROWS, None)), "those of .args are a tuple"),
        (lambda: Model(Star(), (X, Y), dynamic_shapes=((ROWS,),)), "do not fit the example call"),
        (
            lambda: Model(Keywords(), (X,), {"a": Y, "b": X}, dynamic_shapes=(None, None, None)),
            "do not fit the example call",
        ),
        (lambda: Model(Times(), (X, 3), dynamic_shapes=(None, Dim.DYNAMIC)), "lets 3 change"),
    ],
)  # fmt: skip
def test_what_fits_no_argument_is_one_sentence(model: Callable[[], Model], told: str) -> None:
    with pytest.raises(InputError, match=told):
        trace(model())
