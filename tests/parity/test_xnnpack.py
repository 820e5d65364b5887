"""XNNPACK on ExecuTorch's own runtime against eager, and as a second lowering beside MLX."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.exports import Line
from harness.arrays import Array
from harness.budget import COMMITTED
from harness.compare import Status
from harness.errors import InputError
from harness.export.kernels import KERNEL_PROGRAMS, lower_to_kernels
from harness.methods import METHODS, Method, select_methods
from harness.parity import Request, check
from harness.parity.judges.lowerings import judge_lowerings
from harness.parity.judges.values import judge_outputs, oracles_of
from harness.parity.matrix import COLUMNS, cells
from harness.parity.observation import Observation
from harness.runtime.select import choose


@pytest.fixture(scope="module")
def xnnpack() -> Line:
    return Line(Request(executor="xnnpack"))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_method_equals_eager(method: Method, xnnpack: Line) -> None:
    verdicts = xnnpack.verdicts(method)

    assert [f"{v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS] == []
    assert {"delegation", "constants", "speech"} < {v.case for v in verdicts}


@pytest.mark.slow
def test_a_method_alone_equals_eager_on_xnnpack(tiny_line: Line, tmp_path: Path) -> None:
    path, executor = tmp_path / "model.pte", choose("xnnpack")
    program = KERNEL_PROGRAMS["semantic_head"](tiny_line.model, tiny_line.sizes)
    lower_to_kernels({"semantic_head": program}, {}, path, "xnnpack")
    method, item = tiny_line.case("semantic_head")
    executor.load(path)
    try:
        observed = tiny_line.observed_on(executor, method, item.case)
    finally:
        executor.close()

    allowed = COMMITTED.of("xnnpack", "fp32", method.name)
    oracle = oracles_of(tiny_line.evidence, method).get(item.case.label)
    verdict = judge_outputs(tiny_line.plan, method, item, observed, allowed, oracle)
    assert verdict.status is Status.PASS, verdict.summary


def damaged(observation: Observation, name: str, damage: Callable[[Array], Array]) -> Observation:
    """The same observation with every output of one method tampered with."""
    cases = {
        label: dataclasses.replace(case, outputs=tuple(map(damage, case.outputs)))
        for label, case in observation.cases[name].items()
    }
    return dataclasses.replace(observation, cases={**observation.cases, name: cases})


def halved(y: Array) -> Array:
    return y * y.dtype.type(0.5)


def same(y: Array) -> Array:
    return y


@pytest.mark.parametrize(
    ("on_mlx", "on_xnnpack", "status", "owner"),
    [
        (same, same, Status.PASS, "none"),
        (halved, same, Status.FAIL, "the MLX lowering"),
        (halved, halved, Status.FAIL, "the export"),
        (same, halved, Status.UNJUDGED, "XNNPACK alone"),
    ],
)
def test_whoever_is_damaged_is_named(
    on_mlx: Callable[[Array], Array],
    on_xnnpack: Callable[[Array], Array],
    status: Status,
    owner: str,
    line: Line,
) -> None:
    """The observation on MLX stands in for that on XNNPACK: judging does not know who ran it."""
    (method,) = select_methods(["predict_velocity"])
    plan, artifacts, observation = line.plan, line.artifacts, line.observation
    other = dataclasses.replace(plan, lowering="xnnpack")

    def lowered(which: Any, damage: Callable[[Array], Array]) -> Any:
        return which, artifacts, damaged(observation, method.name, damage)

    verdict = judge_lowerings(
        method, line.evidence, lowered(plan, on_mlx), lowered(other, on_xnnpack), COMMITTED
    )

    assert (verdict.status, verdict.metrics["owner"]) == (status, owner)


def test_triangulating_xnnpack_with_itself_is_refused() -> None:
    with pytest.raises(InputError, match="leave --executor xnnpack out"):
        check(Request(executor="xnnpack", triangulate=True))


@pytest.mark.slow
def test_the_matrix_has_a_cell_for_each_method_and_column() -> None:
    request = Request(executor="portable", methods=("token_embedding", "semantic_head"))

    found = list(cells(request, ["fp32"]))

    assert [(cell.method, cell.column) for cell in found] == [
        (method, column) for method in ("token_embedding", "semantic_head") for column in COLUMNS
    ]
    assert {cell.status for cell in found} == {Status.PASS}


def test_the_matrix_refuses_an_unknown_precision_before_it_begins() -> None:
    with pytest.raises(InputError, match="precision must be one of"):
        next(cells(Request(), ["fp32", "fp31"]))
