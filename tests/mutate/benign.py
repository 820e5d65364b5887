"""Changes that are no fault: another order, another route, another name, another accumulation."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.arrays import Array
from harness.compare import Verdict
from harness.methods import METHODS
from harness.pte.names import names_file
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.blas import mx
from tests.mutate.bench import Bench, method_of
from tests.mutate.pte import Graph
from tests.mutate.runtime import PRODUCTS, at_instruction, operands

__all__ = ["Benign", "all_benign"]

Verdicts = tuple[Verdict, ...]


@dataclass(frozen=True)
class Benign:
    """A harmless change of one method's run.

    Attributes
    ----------
    name
        What is done otherwise.
    run
        Does it, and judges.
    whole
        Whether on all cases.
    """

    name: str
    run: Callable[[Bench], Verdicts]
    whole: bool = True


# --- executors


class _OtherNames(PortableExecutor):
    """Other names of the states."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        state = f"another {options.pop('state', 'default')}"
        return super().call(method, inputs, state=state, **options)

    def reset(self, state: str = "default") -> None:
        super().reset(f"another {state}")


class _Restless(PortableExecutor):
    """Between the calls of a state, another state is used."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        made = super().call(method, inputs, **options)
        if options.get("observer") is None:
            super().call(method, inputs, state="in between")
            self.reset("in between")
        return made


class _Strided(PortableExecutor):
    """Inputs that are views of larger arrays."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        views = [x.repeat(2, axis=-1)[..., ::2] for x in inputs]
        return super().call(method, views, **options)


class _Unaccelerated(PortableExecutor):
    """Nothing that was computed before the call is used."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        everything = range(len(self.prepare(method).plan.instructions))
        return super().call(method, inputs, **{**options, "unaccelerated": everything})


EXECUTORS: dict[str, Callable[[], PortableExecutor]] = {
    "MLX's own kernels": lambda: PortableExecutor(fast=False),
    "no float32 copies": lambda: PortableExecutor(fp32_bytes=0),
    "few float32 copies": lambda: PortableExecutor(fp32_bytes=1 << 20),
    "faithful, under its own budget": lambda: PortableExecutor(faithful=True),
    "other states' names": _OtherNames,
    "another state between calls": _Restless,
    "strided inputs": _Strided,
    "nothing folded": _Unaccelerated,
}


def _on(bench: Bench, method: str, make: Callable[[], PortableExecutor]) -> Verdicts:
    return bench.on_executor(method, make)


def _halved(y: Any, n: Any, s: Any) -> Any:
    """A product in two partial sums, added up in float32."""
    a, b = operands(n, s)
    half = a.shape[-1] // 2
    made = a[..., :half] @ b[..., :half, :] + a[..., half:] @ b[..., half:, :]
    return made.astype(y.dtype)


def _reversed(y: Any, n: Any, s: Any) -> Any:
    """A product that is added up from the last term to the first."""
    a, b = operands(n, s)
    order = mx.arange(a.shape[-1] - 1, -1, -1)
    return (mx.take(a, order, axis=-1) @ mx.take(b, order, axis=-2)).astype(y.dtype)


def _summed(bench: Bench, method: str, spot: int, how: Any) -> Verdicts:
    return tuple(at_instruction("product", spot, how)(bench, method).verdicts)


# --- files


def _written_again(bench: Bench, method: str) -> Verdicts:
    return bench.on_file(method, bench.pte_of(method))


def _without_names(bench: Bench, method: str) -> Verdicts:
    found = method_of(method)
    path = bench.directory / found.artifact
    shutil.copyfile(bench.artifacts.files[found.artifact].made.path, path)
    assert not names_file(path).exists()
    return bench.on_path(method, path)


def _slots(node: Any) -> tuple[set[Any], set[Any]]:
    """What a node reads and what it writes."""
    reads: set[Any] = set()
    writes: set[Any] = set()

    def collect(value: Any, into: set[Any]) -> None:
        name = type(value).__name__
        if name in ("Tid", "Vid"):
            into.add((name, value.idx))
        elif isinstance(value, tuple):
            for item in value:
                collect(item, into)
        elif dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                collect(getattr(value, field.name), into)

    for field in dataclasses.fields(node):
        into = writes if field.name in ("out", "outs", "outputs") else reads
        collect(getattr(node, field.name), into)
    return reads, writes


def _exchangeable(graph: Graph) -> list[int]:
    """Places whose node may run after the next one."""
    found = []
    for place, (one, other) in enumerate(zip(graph.nodes, graph.nodes[1:], strict=False)):
        (reads, writes), (later_reads, later_writes) = _slots(one), _slots(other)
        if not (writes & (later_reads | later_writes) or reads & later_writes):
            found.append(place)
    return found


def _exchanged(bench: Bench, method: str, place: int) -> Verdicts:
    graph = bench.graph(method)
    one, other = graph.nodes[place : place + 2]
    graph = graph.with_node(place, other).with_node(place + 1, one)
    return bench.on_file(method, bench.pte_of(method).with_graph(method_of(method).entry, graph))


def _commuted(bench: Bench, method: str, place: int) -> Verdicts:
    graph = bench.graph(method)
    node = graph.nodes[place]
    graph = graph.with_node(place, dataclasses.replace(node, a=node.b, b=node.a))
    return bench.on_file(method, bench.pte_of(method).with_graph(method_of(method).entry, graph))


_COMMUTE = ("AddNode", "MultiplyNode", "BitwiseOrNode", "EqualNode")

_SPREAD = 6
"""Exchanges that are tried in a method."""


def all_benign(bench: Bench) -> Iterator[Benign]:
    """Every harmless change in one precision."""
    for method in (method.name for method in METHODS):
        for label, make in EXECUTORS.items():
            yield Benign(f"{method} run: {label}", partial(_on, method=method, make=make))
        yield Benign(f"{method}: written again", partial(_written_again, method=method))
        yield Benign(f"{method}: without names", partial(_without_names, method=method))
        graph = bench.graph(method)
        places = _exchangeable(graph)
        for place in places[:: max(1, len(places) // _SPREAD)][:_SPREAD]:
            yield Benign(
                f"{method}: instructions {place} and {place + 1} exchanged",
                partial(_exchanged, method=method, place=place), whole=False,
            )  # fmt: skip
        for kind in _COMMUTE:
            for place in [i for i, n in enumerate(graph.nodes) if type(n).__name__ == kind][:1]:
                yield Benign(
                    f"{method}: operands of instruction {place} exchanged",
                    partial(_commuted, method=method, place=place), whole=False,
                )  # fmt: skip
        if any(type(node).__name__ in PRODUCTS for node in graph.nodes):
            for spot in (0, -1):
                for label, how in (("two sums", _halved), ("reversed", _reversed)):
                    yield Benign(
                        f"{method} run: product {spot}, {label}",
                        partial(_summed, method=method, spot=spot, how=how), whole=False,
                    )  # fmt: skip
