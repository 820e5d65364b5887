"""What no call changes is computed once, to the same bits, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError
from harness.pte.flatbuffer import record
from harness.pte.payload import MLXGraph, Tid
from harness.pte.schema import mlx_schema
from harness.runtime.portable import PortableExecutor, folding
from harness.runtime.portable import interpreter as interpreter_module
from harness.runtime.portable.blas import mx
from harness.runtime.portable.delegate import MLXDelegate

CONSTANT, INPUT, A, B, C = Tid(0), Tid(1), Tid(2), Tid(3), Tid(4)


def node(name: str, **given: Any) -> Any:
    fields = mlx_schema().tables[name]
    values = (given.get(f.name, () if f.type.kind == "vector" else f.default) for f in fields)
    return record(name, tuple(f.name for f in fields))(*values)


def delegate(*chain: Any, output: Tid = C) -> MLXDelegate:
    """A constant [7], an input, three temporaries."""
    graph = MLXGraph(1, 5, 0, (chain,), 0, None, (INPUT,), (output,), (), {}, ())
    return MLXDelegate(graph, "method 'm'", False, None, [mx.array([7.0])], [])


def answer(made: MLXDelegate, x: float = 1.0, **given: Any) -> float:
    with mx.stream(mx.cpu):
        return float(made.run([mx.array([x])], [], **given)[0].item())


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function of a node ran."""
    counted: Counter[str] = Counter()
    for name in ("NegNode", "SquareNode", "AddNode"):

        def op(n: Any, s: Any, name: str = name, real: Any = interpreter_module.OPS[name]) -> Any:
            counted[name] += 1
            return real(n, s)

        monkeypatch.setitem(interpreter_module.OPS, name, op)
    return counted


def test_a_step_over_constants_runs_once(runs: Counter[str]) -> None:
    made = delegate(
        node("NegNode", x=CONSTANT, out=A),
        node("SquareNode", x=A, out=B),
        node("AddNode", a=B, b=INPUT, out=C),
    )
    assert [answer(made, x) for x in (1.0, 2.0, 3.0)] == [50.0, 51.0, 52.0]
    assert runs == {"NegNode": 1, "SquareNode": 1, "AddNode": 3}


def test_equal_steps_are_computed_once(runs: Counter[str]) -> None:
    made = delegate(
        node("NegNode", x=CONSTANT, out=A),
        node("NegNode", x=CONSTANT, out=B),
        node("AddNode", a=A, b=B, out=B),
        node("AddNode", a=INPUT, b=B, out=C),
    )
    assert answer(made) == -13.0
    assert runs["NegNode"] == 1


def test_a_slot_holds_what_was_written_last() -> None:
    made = delegate(
        node("NegNode", x=CONSTANT, out=A),
        node("AddNode", a=A, b=INPUT, out=B),  # -7 + x
        node("SquareNode", x=CONSTANT, out=A),
        node("AddNode", a=A, b=B, out=B),  # 49 - 7 + x
        node("NegNode", x=INPUT, out=A),
        node("AddNode", a=A, b=B, out=C),  # 42
    )
    assert [answer(made, x) for x in (1.0, 5.0)] == [42.0, 42.0]


def test_a_constant_output_is_given_every_time() -> None:
    made = delegate(node("NegNode", x=CONSTANT, out=C))
    assert [answer(made), answer(made)] == [-7.0, -7.0]


def test_random_numbers_are_drawn_every_time() -> None:
    draw = node("RandomBitsNode", shape=(64,), width=4, out=C)
    made = delegate(draw)
    with mx.stream(mx.cpu):
        first, second = (np.array(made.run([mx.array([1.0])], [])[0]) for _ in range(2))
    assert (first != second).any()


def test_a_step_that_refuses_says_so_in_the_call() -> None:
    made = delegate(
        node("NegNode", x=INPUT, out=A), node("ReshapeNode", x=CONSTANT, shape=(3,), out=C)
    )
    with pytest.raises(ExecutionError, match=r"instruction 1 \(ReshapeNode\): \[reshape\]"):
        answer(made)


def test_an_observer_sees_every_step_and_what_it_makes() -> None:
    made = delegate(
        node("NegNode", x=CONSTANT, out=A),
        node("SquareNode", x=A, out=B),
        node("AddNode", a=B, b=INPUT, out=C),
    )
    answer(made)
    seen: list[tuple[int, float]] = []
    answer(made, observer=lambda chain, i, n, values: seen.append((i, values[0].item())))
    assert seen == [(0, -7.0), (1, 49.0), (2, 50.0)]


def test_more_than_may_be_kept_is_computed_in_each_call(
    runs: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "_MOST_KEPT", 3)
    made = delegate(node("NegNode", x=CONSTANT, out=A), node("AddNode", a=A, b=INPUT, out=C))
    answer(made), answer(made)
    assert runs["AddNode"] == 2
    assert runs["NegNode"] == 3  # once to learn its size


def test_a_transposed_weight_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_MOST_KEPT", 3)
    made = delegate(
        node("TransposeNode", x=CONSTANT, perm=(0,), out=A), node("AddNode", a=A, b=INPUT, out=C)
    )
    assert answer(made) == 8.0
    assert made._folded is not None
    assert made._folded.lean is not made._folded.whole


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("case", ["attention", "convolutions", "quantized", "lookup", "masked"])
def test_no_bit_changes(exported: Callable[[str], Any], case: str, faithful: bool) -> None:
    answers = []
    for unaccelerated in ((), (0, 1, 2, 3)):
        executor = PortableExecutor(faithful=faithful, fast=False)
        executor.load(exported(case).path)
        answers.append(
            [
                executor.call(method, inputs, unaccelerated=unaccelerated)[0].tobytes()
                for method, inputs, _ in exported(case).calls
            ]
        )
    assert answers[0] == answers[1]
