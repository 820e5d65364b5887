"""The canaries' own nodes in a `.pte`, with the same results there as in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.export.canaries import canary_program, grouped
from harness.pte.canaries import canaries
from harness.pte.coverage import called_graphs
from harness.pte.program import read_program
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.canaries import run


@pytest.fixture(scope="module")
def program() -> Path:
    return canary_program()


def test_every_canary_is_in_one_method() -> None:
    assert [canary for group in grouped().values() for canary in group] == sorted(
        canaries(), key=lambda canary: list(grouped()).index(f"{canary.kind}_{canary.dtype}")
    )


def test_the_nodes_are_the_canaries_own(program: Path) -> None:
    opened = read_program(program)
    assert set(opened.plans) == set(grouped())
    for name, group in grouped().items():
        (graph,) = called_graphs(opened, opened.plans[name]).values()
        written = [type(node).__name__ for node in graph.chains[graph.main]]
        assert written == [step for canary in group for step, _ in canary.steps]
    opened.close()


def test_they_make_the_same_bits_as_in_memory(program: Path) -> None:
    executor = PortableExecutor(fast=False)
    executor.load(program)
    for name, group in grouped().items():
        made = executor.call(name, [tensor for canary in group for tensor in canary.tensors])
        for canary, output in zip(group, made, strict=True):
            alone = run(canary, faithful=False, fast=False)
            assert output.tobytes() == alone.tobytes(), f"{name}, {canary.name}"
