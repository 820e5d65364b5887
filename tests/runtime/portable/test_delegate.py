"""One delegate, run again and again: what a run leaves behind, and what it must not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import ExecutionError
from harness.pte.flatbuffer import record
from harness.pte.payload import MLXGraph, Tid
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx
from harness.runtime.portable.delegate import MLXDelegate
from harness.runtime.portable.interpreter import bind, run_chain

CONSTANT, INPUT, BUFFER, TEMPORARY = Tid(0), Tid(1), Tid(2), Tid(3)


def node(name: str, **given: Any) -> Any:
    fields = mlx_schema().tables[name]
    values = (given.get(f.name, () if f.type.kind == "vector" else f.default) for f in fields)
    return record(name, tuple(f.name for f in fields))(*values)


def update(dst: Tid) -> Any:
    return node("SliceUpdateNode", dst=dst, update=INPUT, out=dst, axis=0, start=0, stop=1, step=1)


def delegate(*chain: Any, output: Tid = BUFFER, init: tuple[Any, ...] = ()) -> MLXDelegate:
    """A constant [7], an input, a buffer of two zeros, a temporary."""
    graph = MLXGraph(
        constants=1,
        tensors=4,
        values=0,
        chains=(chain, init),
        main=0,
        init=1 if init else None,
        inputs=(INPUT,),
        outputs=(output,),
        buffers=(BUFFER,),
        names={},
        meta=(),
    )
    return MLXDelegate(graph, "method 'm'", False, None, [mx.array([7.0])], [mx.zeros(2)])


def test_what_a_failing_run_wrote_stays() -> None:
    failing = delegate(update(BUFFER), node("NegNode", x=TEMPORARY, out=TEMPORARY))
    buffers = list(failing.fresh)
    with pytest.raises(ExecutionError, match="tensor 3 is read before it was written"):
        failing.run([mx.array([5.0])], buffers)
    assert np.array(buffers[0]).tolist() == [5.0, 0.0]


def test_temporaries_are_gone_in_the_next_run() -> None:
    writes = delegate(node("NegNode", x=INPUT, out=TEMPORARY), output=TEMPORARY)
    assert writes.run([mx.array([5.0])], list(writes.fresh))[0].item() == -5.0
    reads = delegate(node("NegNode", x=TEMPORARY, out=TEMPORARY), output=TEMPORARY)
    with pytest.raises(ExecutionError, match="tensor 3 is read before it was written"):
        reads.run([mx.array([5.0])], list(reads.fresh))


def test_the_init_chain_may_replace_a_constant_but_not_update_it() -> None:
    replaced = delegate(init=(node("NegNode", x=CONSTANT, out=CONSTANT),))
    slots = replaced.slots(list(replaced.fresh))
    slots.initialising = True
    run_chain(bind(replaced.graph), 1, slots, "method 'm', init chain")
    assert slots.tensors[0].item() == -7.0
    updated = delegate(init=(update(CONSTANT),))
    slots = updated.slots(list(updated.fresh))
    slots.initialising = True
    with pytest.raises(ExecutionError, match="tensor 0 is a constant"):
        run_chain(bind(updated.graph), 1, slots, "method 'm', init chain")
