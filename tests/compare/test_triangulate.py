"""Three opinions on one method: each outcome, and what it says of the owner."""

from __future__ import annotations

import numpy as np
import pytest

from harness.arrays import Array
from harness.compare import Allowance, Status, Verdict, judge_many
from harness.compare.triangulate import Finding, Opinion, Sighting, distance, find, triangulate

ALLOWANCE = Allowance(max_abs=1e-5, rms=1e-5, gain=1e-5, source="this test")

EAGER = np.sin(np.arange(64, dtype=np.float32)).reshape(1, 64)
ROUNDED = EAGER + np.float32(1e-7) * np.cos(np.arange(64, dtype=np.float32))
HALVED = EAGER * np.float32(0.5)
SHIFTED = np.roll(EAGER, 1, axis=-1)


def opinion(outputs: Array) -> Opinion:
    return Opinion(judge_many("codec", "random", [(outputs, EAGER)], ALLOWANCE), [outputs])


def refusal() -> Opinion:
    verdict = Verdict("codec", "random", "execution", Status.FAIL, "does not run")
    return Opinion(verdict, None)


def sighting(mlx: Opinion, xnnpack: Opinion, label: str = "random") -> Sighting:
    return Sighting(label, [EAGER], mlx, xnnpack)


def test_agreement_of_all_three_passes() -> None:
    verdict = triangulate("codec", [sighting(opinion(ROUNDED), opinion(EAGER))])

    assert verdict.status is Status.PASS
    assert verdict.kind == "triangulation"
    assert verdict.case == "MLX vs XNNPACK vs eager"
    assert verdict.elements == 64
    assert verdict.summary.startswith("all three agree in 1 case")


def test_mlx_alone_apart_names_the_mlx_lowering() -> None:
    verdict = triangulate("codec", [sighting(opinion(HALVED), opinion(ROUNDED))])

    assert verdict.status is Status.FAIL
    assert verdict.metrics["owner"] == "the MLX lowering"
    assert "the lowering to MLX is wrong" in verdict.summary
    assert [gate.name for gate in verdict.failed_gates] == ["MLX from eager"]


def test_both_apart_in_the_same_way_names_the_export() -> None:
    same = HALVED + np.float32(1e-7)
    verdict = triangulate("codec", [sighting(opinion(HALVED), opinion(same))])

    assert verdict.status is Status.FAIL
    assert verdict.metrics["owner"] == "the export"
    assert "the export is wrong" in verdict.summary


def test_xnnpack_alone_apart_is_unjudged_and_no_fault_of_mlx() -> None:
    verdict = triangulate("codec", [sighting(opinion(ROUNDED), opinion(HALVED))])

    assert verdict.status is Status.UNJUDGED
    assert verdict.metrics["owner"] == "XNNPACK alone"
    assert "no fault of MLX" in verdict.summary


def test_both_apart_in_different_ways_names_no_owner() -> None:
    verdict = triangulate("codec", [sighting(opinion(HALVED), opinion(SHIFTED))])

    assert verdict.status is Status.FAIL
    assert verdict.metrics["owner"] == "more than one cause"


def test_errors_that_share_only_half_are_not_the_same_error() -> None:
    further = EAGER * np.float32(0.25)

    assert find(sighting(opinion(HALVED), opinion(further))) is Finding.APART


@pytest.mark.parametrize(
    ("mlx", "xnnpack", "finding"),
    [
        (refusal(), opinion(EAGER), Finding.MLX),
        (opinion(EAGER), refusal(), Finding.XNNPACK),
        (refusal(), refusal(), Finding.APART),
        (refusal(), opinion(HALVED), Finding.APART),
    ],
)
def test_a_program_that_does_not_run_stands_apart(
    mlx: Opinion, xnnpack: Opinion, finding: Finding
) -> None:
    assert find(sighting(mlx, xnnpack)) is finding


def test_the_same_wrong_shape_from_both_is_the_export() -> None:
    assert find(sighting(opinion(EAGER[:, :-1]), opinion(EAGER[:, :-1]))) is Finding.EXPORT


def test_the_same_nan_from_both_is_the_export() -> None:
    broken = EAGER.copy()
    broken[0, 5] = np.nan

    assert find(sighting(opinion(broken), opinion(broken.copy()))) is Finding.EXPORT


def test_the_gravest_case_decides() -> None:
    fine = sighting(opinion(ROUNDED), opinion(ROUNDED), "fine")
    third = sighting(opinion(ROUNDED), opinion(HALVED), "xnnpack off")
    wrong = sighting(opinion(HALVED), opinion(ROUNDED), "mlx off")

    verdict = triangulate("codec", [fine, third, wrong])

    assert verdict.metrics["worst_case"] == "mlx off"
    assert verdict.metrics["cases_concerned"] == 1
    assert verdict.summary.endswith("mlx off, 1 of 3 cases")


def test_no_case_is_unjudged() -> None:
    assert triangulate("codec", []).status is Status.UNJUDGED


def test_a_case_without_an_allowance_is_left_out() -> None:
    unknown = Opinion(Verdict("codec", "random", "tensor", Status.UNJUDGED, "none"), [EAGER])

    assert triangulate("codec", [sighting(opinion(EAGER), unknown)]).status is Status.UNJUDGED


def test_distance_counts_masked_places_as_equal_where_both_are_masked() -> None:
    masked = np.array([-np.inf, 1.0, 2.0], np.float32)
    other = np.array([-np.inf, 1.0, 4.0], np.float32)

    assert distance([masked], [other], 1.0) == pytest.approx(2.0 / np.sqrt(2.0))
    assert distance([masked], [np.abs(other)], 1.0) == np.inf
