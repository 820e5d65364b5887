"""XNNPACK on ExecuTorch's own runtime against eager, and as the third opinion on MLX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from harness.parity.triangulate import OnXnnpack, third_opinion

from harness.arrays import Array
from harness.compare import Status
from harness.errors import InputError
from harness.export.kernels import KERNEL_PROGRAMS, lower_to_kernels
from harness.methods import METHODS, Method, select_methods
from harness.parity import Parity, Request
from harness.parity.judge import judge_coverage, judge_evidence
from harness.parity.matrix import COLUMNS, cells
from harness.pte.coverage import MethodDelegation
from harness.runtime.protocol import Executor
from harness.runtime.select import choose


@pytest.fixture(scope="module")
def xnnpack(parity: Parity) -> Iterator[Parity]:
    run = OnXnnpack(parity)
    yield run
    run.close()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_method_equals_eager(method: Method, xnnpack: Parity) -> None:
    verdicts = xnnpack.judge(method)

    assert [f"{v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS] == []
    assert {"delegation", "speech"} < {v.case for v in verdicts}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_allowance_is_near_what_is_measured(method: Method, xnnpack: Parity) -> None:
    """Ten times what one CPU measured; others, with other kernels, measured half as much."""
    used = max(v.headroom_used for v in xnnpack.judge(method) if v.kind in ("tensor", "waveform"))

    exact = method.allowances["xnnpack/fp32"].max_abs == 0
    assert used == 0 if exact else 0.05 <= used <= 1


def test_a_method_alone_equals_eager_on_xnnpack(parity: Parity, tmp_path: Path) -> None:
    """The quick one: what the slow tests do with both files."""
    (method,) = select_methods(["semantic_head"])
    path, executor = tmp_path / "model.pte", choose("xnnpack")
    program = KERNEL_PROGRAMS["semantic_head"](parity.model, parity.sizes)
    lower_to_kernels({"semantic_head": program}, {}, path, "xnnpack")
    executor.load(path)
    try:
        verdict = judge_evidence(
            method, parity.evidence(method)[0], executor, parity.sizes, "xnnpack/fp32"
        )
    finally:
        executor.close()

    assert verdict.status is Status.PASS, verdict.summary


class Damaged:
    """An executor whose outputs are tampered with."""

    def __init__(self, executor: Executor, damage: Callable[[Array], Array]) -> None:
        self.executor, self.damage = executor, damage

    def reset(self, state: str = "default") -> None:
        self.executor.reset(state)

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        (output,) = self.executor.call(method, inputs, state=state)
        return [self.damage(output.copy())]


def damaged(run: Parity, damage: Callable[[Array], Array]) -> Parity:
    """The same run with every output of `model.pte` tampered with."""

    class Broken(type(run)):  # type: ignore[misc]
        def executor(self, name: str) -> Executor:
            return Damaged(run.executor(name), damage)  # type: ignore[return-value]

    broken = object.__new__(Broken)
    broken.__dict__.update(run.__dict__)
    return broken


def halved(y: Array) -> Array:
    return y * np.float32(0.5)


def nothing(y: Array) -> Array:
    return y


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on_mlx", "on_xnnpack", "status", "owner"),
    [
        (nothing, nothing, Status.PASS, "none"),
        (halved, nothing, Status.FAIL, "the MLX lowering"),
        (halved, halved, Status.FAIL, "the export"),
        (nothing, halved, Status.UNJUDGED, "XNNPACK alone"),
    ],
)
def test_whoever_is_damaged_is_named(
    on_mlx: Callable[[Array], Array],
    on_xnnpack: Callable[[Array], Array],
    status: Status,
    owner: str,
    parity: Parity,
    xnnpack: Parity,
) -> None:
    methods = select_methods(["predict_velocity"])

    (verdict,) = third_opinion(damaged(parity, on_mlx), damaged(xnnpack, on_xnnpack), methods)

    assert (verdict.status, verdict.metrics["owner"]) == (status, owner)


@pytest.mark.slow
def test_triangulating_xnnpack_with_itself_is_refused(xnnpack: Parity) -> None:
    with pytest.raises(InputError, match="leave --executor xnnpack out"):
        third_opinion(xnnpack)


def test_a_delegate_of_another_backend_fails_coverage() -> None:
    (method,) = select_methods(["token_embedding"])
    found = MethodDelegation("token_embedding", {"MLXBackend": 1}, (), 3, {})

    verdict = judge_coverage(method, [found])

    assert verdict.status is Status.FAIL
    assert "got 1 × MLXBackend besides" in verdict.summary


def test_kernels_outside_the_delegates_are_counted_not_failed() -> None:
    (method,) = select_methods(["semantic_head"])
    kernels = ("aten::copy.out", "aten::copy.out", "aten::where.self_out")
    found = MethodDelegation("semantic_head", {"XnnpackBackend": 4}, kernels, 0, {})

    verdict = judge_coverage(method, [found])

    assert verdict.status is Status.PASS
    assert verdict.summary == (
        "4 XNNPACK delegates, 3 calls of CPU kernels: aten::copy.out × 2, aten::where.self_out × 1"
    )


@pytest.mark.slow
def test_a_precision_without_an_allowance_is_unjudged(parity: Parity, xnnpack: Parity) -> None:
    (method,) = select_methods(["token_embedding"])
    other = damaged(xnnpack, nothing)
    other.__dict__["methods"] = (method,)
    type(other).allowance = property(lambda self: "xnnpack/fp8")  # type: ignore[assignment]

    (verdict,) = third_opinion(parity, other, [method])

    assert verdict.status is Status.UNJUDGED


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
