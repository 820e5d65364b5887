"""Chains run in order, into slots; scans and branches run other chains; errors say where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError, MachineError, UnsupportedError
from harness.pte.flatbuffer import record
from harness.pte.payload import MLXGraph, Tid, Vid
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import bind, run_chain
from harness.runtime.portable.slots import Slots


def node(name: str, **given: Any) -> Any:
    fields = mlx_schema().tables[name]
    values = (given.get(f.name, () if f.type.kind == "vector" else f.default) for f in fields)
    return record(name, tuple(f.name for f in fields))(*values)


def run(
    chains: list[list[Any]], tensors: list[Any], values: list[int | None], **given: Any
) -> Slots:
    graph = MLXGraph(
        constants=(constants := given.pop("constants", 0)),
        tensors=len(tensors),
        values=len(values),
        chains=tuple(tuple(chain) for chain in chains),
        main=0,
        init=None,
        inputs=(),
        outputs=(),
        buffers=(),
        names={},
        meta=(),
    )
    slots = Slots(
        [None if t is None else mx.array(np.asarray(t, np.float32)) for t in tensors],
        values,
        constants,
    )
    with mx.stream(mx.cpu):
        run_chain(bind(graph), 0, slots, "method 'm'", **given)
    return slots


def test_an_output_may_be_an_input() -> None:
    chain = [node("AddNode", a=Tid(0), b=Tid(0), out=Tid(0))] * 3
    assert run([chain], [1.0], []).tensors[0].item() == 8.0


def test_values_are_computed_at_once_so_slots_can_be_reused() -> None:
    chain = [
        node("AddIntNode", a=1, b=Vid(0), out=Vid(0)),
        node("FullNode", shape=(Vid(0),), v=0.5, scalar_type=6, out=Tid(0)),
        node("AddIntNode", a=1, b=Vid(0), out=Vid(0)),
        node("FullNode", shape=(Vid(0),), v=0.5, scalar_type=6, out=Tid(1)),
    ]
    slots = run([chain], [None, None], [2])
    assert [slots.tensors[i].shape for i in (0, 1)] == [(3,), (4,)]


@pytest.mark.parametrize(("condition", "expected"), [(1, 9.0), (-1, 9.0), (0, -3.0)])
def test_a_branch_runs_one_chain(condition: int, expected: float) -> None:
    chains = [
        [node("IfNode", cond=Vid(0), then_chain_idx=1, else_chain_idx=2)],
        [node("SquareNode", x=Tid(0), out=Tid(1))],
        [node("NegNode", x=Tid(0), out=Tid(1))],
    ]
    assert run(chains, [3.0, None], [condition]).tensors[1].item() == expected


def test_a_scan_carries_state_and_stacks_outputs() -> None:
    scan = node(
        "ScanNode",
        originals=(Tid(0),),
        sliced=(Tid(1),),
        outputs=(Tid(2),),
        carry=(Tid(3),),
        body_chain_idx=1,
        scan_axis=1,
    )
    body = [
        node("AddNode", a=Tid(1), b=Tid(3), out=Tid(3)),
        node("IdCopyNode", x=Tid(3), out=Tid(2)),
    ]
    x = np.arange(6.0).reshape(2, 3)
    slots = run([[scan], body], [x, None, None, np.zeros(2)], [])
    np.testing.assert_array_equal(np.array(slots.tensors[2]), x.cumsum(axis=1))


def test_an_error_names_method_instruction_and_node() -> None:
    chain = [node("NoopNode"), node("MultiplyNode", a=Tid(0), b=Tid(1), out=Tid(2))]
    with pytest.raises(
        ExecutionError, match=r"method 'm', instruction 1 \(MultiplyNode\): .*\(2\).*\(3\)"
    ):
        run([chain], [np.ones(2), np.ones(3), None], [])


def test_an_error_in_an_inner_chain_names_both() -> None:
    chains = [
        [node("IfNode", cond=1, then_chain_idx=1, else_chain_idx=1)],
        [node("NegNode", x=Tid(1), out=Tid(0))],
    ]
    message = r"method 'm', IfNode 0, instruction 0 \(NegNode\): tensor 1 is read before"
    with pytest.raises(ExecutionError, match=message):
        run(chains, [None, None], [])


def test_a_value_is_not_read_before_it_is_written() -> None:
    with pytest.raises(ExecutionError, match="value 0 is read before it was written"):
        run([[node("AddIntNode", a=Vid(0), b=1, out=Vid(0))]], [], [None])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("NegNode", {"x": Tid(0)}),
        (
            "SliceUpdateNode",
            {"dst": Tid(0), "update": Tid(0), "axis": 0, "start": 0, "stop": 2, "step": 1},
        ),
    ],
)
def test_a_constant_is_not_overwritten(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(ExecutionError, match="tensor 0 is a constant"):
        run([[node(name, out=Tid(0), **given)]], [np.ones(2)], [], constants=1)


def test_what_cannot_run_here_says_so() -> None:
    with pytest.raises(UnsupportedError, match=r"MetalKernelNode.: not supported here: a Metal"):
        run([[node("MetalKernelNode")]], [], [])


def test_a_result_that_would_not_fit_memory_is_refused() -> None:
    chain = [
        node("BroadcastToNode", x=Tid(0), shape=(2**16, 2**16), out=Tid(1)),
        node("ContiguousNode", x=Tid(1), out=Tid(1)),
    ]
    with pytest.raises(MachineError, match=r"instruction 1 .*more than 4 GB"):
        run([chain], [np.ones(1), None], [])


def test_an_observer_follows_inner_chains() -> None:
    chains = [
        [node("IfNode", cond=1, then_chain_idx=1, else_chain_idx=1)],
        [node("NegNode", x=Tid(0), out=Tid(0))],
    ]
    seen = []

    def observer(chain: int, index: int, node: Any, made: tuple[Any, ...]) -> None:
        seen.append((chain, index, type(node).__name__, len(made)))

    run(chains, [1.0], [], observer=observer)
    assert seen == [(1, 0, "NegNode", 1), (0, 0, "IfNode", 0)]


def test_an_observer_may_put_another_value_in_place() -> None:
    chains = [
        [
            node("NegNode", x=Tid(0), out=Tid(1)),
            node("NegNode", x=Tid(1), out=Tid(2)),
        ]
    ]
    tensors = run(
        chains,
        [1.0, None, None],
        [],
        observer=lambda chain, i, n, made: (mx.array(5.0),) if i == 0 else None,
    ).tensors
    assert float(tensors[2]) == -5.0
