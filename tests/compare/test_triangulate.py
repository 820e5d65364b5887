"""Three backend results on one method: each outcome, and what it says of the owner."""

from __future__ import annotations

import numpy as np
import pytest

from harness.arrays import Array
from harness.compare import Allowance, Status, Verdict, judge_many
from harness.compare.triangulate import (
    BackendResult,
    CaseResult,
    Finding,
    distance,
    find,
    triangulate,
)

ALLOWANCE = Allowance(max_abs=1e-5, rms=1e-5, gain=1e-5, source="this test")

EAGER = np.sin(np.arange(64, dtype=np.float32)).reshape(1, 64)
ROUNDED = EAGER + np.float32(1e-7) * np.cos(np.arange(64, dtype=np.float32))
HALVED = EAGER * np.float32(0.5)
SHIFTED = np.roll(EAGER, 1, axis=-1)


def backend(outputs: Array) -> BackendResult:
    return BackendResult(judge_many("codec", "random", [(outputs, EAGER)], ALLOWANCE), [outputs])


def refusal() -> BackendResult:
    verdict = Verdict("codec", "random", "execution", Status.FAIL, "does not run")
    return BackendResult(verdict, None)


def result(mlx: BackendResult, xnnpack: BackendResult, label: str = "random") -> CaseResult:
    return CaseResult(label, [EAGER], mlx, xnnpack)


def test_agreement_of_all_three_passes() -> None:
    verdict = triangulate("codec", [result(backend(ROUNDED), backend(EAGER))])

    assert verdict.status is Status.PASS
    assert verdict.kind == "triangulation"
    assert verdict.case == "MLX vs XNNPACK vs eager"
    assert verdict.elements == 64
    assert verdict.summary.startswith("all three agree in 1 case")


def test_mlx_alone_apart_names_the_mlx_lowering() -> None:
    verdict = triangulate("codec", [result(backend(HALVED), backend(ROUNDED))])

    assert verdict.status is Status.FAIL
    assert verdict.metrics["owner"] == "the MLX lowering"
    assert "the lowering to MLX is wrong" in verdict.summary
    assert [gate.name for gate in verdict.failed_gates] == ["MLX from eager"]


def test_both_apart_in_the_same_way_names_the_export() -> None:
    same = HALVED + np.float32(1e-7)
    verdict = triangulate("codec", [result(backend(HALVED), backend(same))])

    assert verdict.status is Status.FAIL
    assert verdict.metrics["owner"] == "the export"
    assert "the export is wrong" in verdict.summary


def test_xnnpack_alone_apart_is_unjudged_and_no_fault_of_mlx() -> None:
    verdict = triangulate("codec", [result(backend(ROUNDED), backend(HALVED))])

    assert verdict.status is Status.UNJUDGED
    assert verdict.metrics["owner"] == "XNNPACK alone"
    assert "MLX is right here" in verdict.summary


def test_both_apart_in_different_ways_names_no_owner() -> None:
    verdict = triangulate("codec", [result(backend(HALVED), backend(SHIFTED))])

    assert verdict.status is Status.FAIL
    assert verdict.metrics["owner"] == "more than one cause"


def test_errors_that_share_only_half_are_not_the_same_error() -> None:
    further = EAGER * np.float32(0.25)

    assert find(result(backend(HALVED), backend(further))) is Finding.APART


@pytest.mark.parametrize(
    ("mlx", "xnnpack", "finding"),
    [
        (refusal(), backend(EAGER), Finding.MLX),
        (backend(EAGER), refusal(), Finding.XNNPACK),
        (refusal(), refusal(), Finding.APART),
        (refusal(), backend(HALVED), Finding.APART),
    ],
)
def test_a_program_that_does_not_run_stands_apart(
    mlx: BackendResult, xnnpack: BackendResult, finding: Finding
) -> None:
    assert find(result(mlx, xnnpack)) is finding


def test_the_same_wrong_shape_from_both_is_the_export() -> None:
    assert find(result(backend(EAGER[:, :-1]), backend(EAGER[:, :-1]))) is Finding.EXPORT


def test_the_same_nan_from_both_is_the_export() -> None:
    broken = EAGER.copy()
    broken[0, 5] = np.nan

    assert find(result(backend(broken), backend(broken.copy()))) is Finding.EXPORT


def test_the_gravest_case_decides() -> None:
    fine = result(backend(ROUNDED), backend(ROUNDED), "fine")
    third = result(backend(ROUNDED), backend(HALVED), "xnnpack off")
    wrong = result(backend(HALVED), backend(ROUNDED), "mlx off")

    verdict = triangulate("codec", [fine, third, wrong])

    assert verdict.metrics["worst_case"] == "mlx off"
    assert verdict.metrics["cases_concerned"] == 1
    assert verdict.summary.endswith("mlx off, 1 of 3 cases")


def test_no_case_is_unjudged() -> None:
    assert triangulate("codec", []).status is Status.UNJUDGED


def test_a_case_without_an_allowance_is_left_out() -> None:
    unknown = BackendResult(Verdict("codec", "random", "tensor", Status.UNJUDGED, "none"), [EAGER])

    assert triangulate("codec", [result(backend(EAGER), unknown)]).status is Status.UNJUDGED


@pytest.mark.parametrize("ran", [True, False], ids=["beside another case", "alone"])
def test_the_side_that_did_not_run_is_named(ran: bool) -> None:
    late = BackendResult(
        Verdict("codec", "silence", "execution", Status.UNJUDGED, "time-out"), None
    )
    right = backend(ROUNDED)
    results = [result(right, late, "silence"), result(late, late, "noise")]
    verdict = triangulate("codec", [*[result(right, right)] * ran, *results])

    assert verdict.status is Status.UNJUDGED
    assert verdict.summary.endswith("; not run by MLX: noise; not run by XNNPACK: silence, noise")


def test_distance_counts_masked_places_as_equal_where_both_are_masked() -> None:
    masked = np.array([-np.inf, 1.0, 2.0], np.float32)
    other = np.array([-np.inf, 1.0, 4.0], np.float32)

    assert distance([masked], [other], 1.0) == pytest.approx(2.0 / np.sqrt(2.0))
    assert distance([masked], [np.abs(other)], 1.0) == np.inf
