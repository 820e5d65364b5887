"""A product runs on as many threads as pay for it, and its bits depend on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError
from harness.pte.payload import MLXGraph, Tid
from harness.runtime.portable import PortableExecutor, products
from harness.runtime.portable.blas import mx
from harness.runtime.portable.delegate import MLXDelegate
from harness.runtime.portable.products import matmul, sized_threads
from tests.runtime.portable.test_folding import node

ALL = 8


class Blas:
    """The setting of a library that has `ALL` threads, and what it was set to."""

    def __init__(self) -> None:
        self.now = ALL
        self.told: list[int] = []

    def set(self, count: int) -> None:
        self.now = count
        self.told.append(count)


@pytest.fixture
def blas(monkeypatch: pytest.MonkeyPatch) -> Blas:
    made = Blas()
    monkeypatch.setattr(products, "_threads", lambda: made.now)
    monkeypatch.setattr(products, "_set_threads", made.set)
    return made


def multiply(*shapes: tuple[int, ...]) -> Any:
    with mx.stream(mx.cpu):
        return matmul(*(mx.zeros(shape) for shape in shapes))


def test_a_small_product_has_one_thread(blas: Blas) -> None:
    with sized_threads():
        multiply((3, 64), (64, 3))
        assert blas.now == 1
    assert blas.told == [1, ALL]


@pytest.mark.parametrize(
    ("shapes", "spread"),
    [
        (((64, 1024), (1024, 512)), True),
        (((64, 1024), (1024, 511)), False),
        (((4, 16, 1024), (1024, 512)), True),  # all rows at once
        (((64, 64, 64), (64, 64, 128)), False),  # a matrix at a time
        (((2, 64, 1024), (2, 1024, 512)), True),
    ],
)
def test_a_large_one_has_all_of_them(
    blas: Blas, shapes: tuple[tuple[int, ...], ...], spread: bool
) -> None:
    with sized_threads():
        multiply(*shapes)
        assert blas.told == ([1, ALL, 1] if spread else [1])
    assert blas.now == ALL


def test_nothing_is_set_elsewhere(blas: Blas) -> None:
    multiply((64, 1024), (1024, 512))
    assert not blas.told


def test_the_setting_comes_back_after_an_error(blas: Blas) -> None:
    with sized_threads(), sized_threads(), pytest.raises(ExecutionError):
        multiply((3, 4), (5, 6))
    assert blas.now == ALL


def test_what_is_too_large_is_not_made(blas: Blas) -> None:
    with sized_threads():
        multiply((1 << 16, 64), (64, 1 << 15))  # 8 GB: the interpreter refuses it
    assert blas.told == [1, ALL]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("AddmmNode", {"mat1": (64, 1024), "mat2": (1024, 512)}),
        ("AddmmNode", {"mat1": (64, 1024), "mat2": (1024, 512), "bias": (512,)}),
        ("Conv1DNode", {"x": (1, 256, 512), "w": (512, 1, 512)}),
        ("ConvTranspose1DNode", {"x": (1, 128, 256), "w": (256, 4, 256), "stride": 2}),
    ],
)
def test_nodes_that_multiply_are_spread(
    run_node: Callable[..., Any], blas: Blas, name: str, given: dict[str, Any]
) -> None:
    from harness.runtime.portable.fp32_weights import Fp32Weights

    arrays = {k: np.ones(v, "f4") if isinstance(v, tuple) else v for k, v in given.items()}
    with sized_threads():
        run_node(name, fp32_weights=Fp32Weights(), keep=False, meant=False, **arrays)
        assert blas.told == [1, ALL, 1]


def test_only_the_fast_executor_sets_it(exported: Any, blas: Blas) -> None:
    program = exported("linear")
    method, inputs, _ = program.calls[0]
    for options, told in (({}, [1, ALL]), ({"fast": False}, [])):
        blas.told.clear()
        executor = PortableExecutor(**options)
        executor.load(program.path)
        executor.call(method, inputs)
        assert blas.told == told


def test_a_small_product_before_a_large_one_has_the_same_bits_observed_or_not() -> None:
    """MKL gives other bits on one thread than on two, for the first of these shapes."""
    random = np.random.default_rng(1)
    weights = [random.standard_normal(s, np.float32) for s in ((3072, 512), (512, 16384))]
    graph = MLXGraph(
        2, 5, 0,
        ((
            node("AddmmNode", mat1=Tid(2), mat2=Tid(0), bias=None, out=Tid(3)),
            node("AddmmNode", mat1=Tid(3), mat2=Tid(1), bias=None, out=Tid(4)),
        ),),
        0, None, (Tid(2),), (Tid(4),), (), {}, (),
    )  # fmt: skip
    made = MLXDelegate(graph, "method 'm'", False, None, [mx.array(w) for w in weights], [])
    x = mx.array(random.standard_normal((7, 3072), np.float32))

    def observe(chain: int, index: int, step: Any, values: tuple[Any, ...]) -> None:
        mx.eval(values)

    answers = []
    for observer in (None, observe):
        with mx.stream(mx.cpu), sized_threads():
            (out,) = made.run([x], [], observer)
            answers.append(np.array(out).tobytes())
    assert answers[0] == answers[1]
