"""Run canaries through the interpreter, in memory: no file, no torch."""

from __future__ import annotations

from collections.abc import Mapping

from harness.arrays import Array
from harness.pte.canaries import Canary
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.flatbuffer import record
from harness.pte.payload import Dim, MLXGraph, Node, TensorMeta, Tid
from harness.pte.schema import mlx_schema
from harness.runtime.portable.blas import mx
from harness.runtime.portable.delegate import MLXDelegate
from harness.runtime.portable.fp32_weights import choose_weights
from harness.runtime.portable.interpreter import Op
from harness.runtime.portable.tensors import to_mlx, to_numpy

__all__ = ["run"]

_SCALARS = {scalar.name: scalar for scalar in SCALAR_TYPES.values()}


def run(
    canary: Canary, *, faithful: bool, fast: bool, ops: Mapping[str, Op] | None = None
) -> Array:
    """What the nodes of a canary make, run as those of a program on the current device.

    Parameters
    ----------
    canary
        What to run.
    faithful, fast, ops
        As the executor runs programs; see `PortableExecutor` and `MLXDelegate.replace_ops`.
    """
    graph = _graph(canary)
    (copies,) = choose_weights([graph], 1 << 30) if fast else (None,)
    constants = [to_mlx(tensor) for tensor in canary.tensors[: canary.constants]]
    delegate = MLXDelegate(graph, canary.name, faithful, copies, constants, [])
    delegate.replace_ops(ops or {})
    (made,) = delegate.run([to_mlx(t) for t in canary.tensors[canary.constants :]], [])
    mx.eval(made)
    return to_numpy(made)


def _graph(canary: Canary) -> MLXGraph:
    count = len(canary.tensors)
    chain = tuple(
        _node(name, {**fields, "out": Tid(count + number)})
        for number, (name, fields) in enumerate(canary.steps)
    )
    return MLXGraph(
        constants=canary.constants,
        tensors=count + len(chain),
        values=0,
        chains=(chain,),
        main=0,
        init=None,
        inputs=tuple(map(Tid, range(canary.constants, count))),
        outputs=(Tid(count + len(chain) - 1),),
        buffers=(),
        names={},
        meta=tuple(map(_meta, canary.tensors)),
    )


def _node(name: str, given: Mapping[str, object]) -> Node:
    """A node as a payload would have held it, absent fields with the schema's defaults."""
    fields = mlx_schema().tables[name]
    kind = record(name, tuple(field.name for field in fields))
    return kind(*(given.get(field.name, field.default) for field in fields))


def _meta(tensor: Array) -> TensorMeta:
    return TensorMeta(tuple(Dim(n, n) for n in tensor.shape), _SCALARS[tensor.dtype.name])
