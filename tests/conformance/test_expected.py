"""A suite that loses cases is not green."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness.conformance
from harness.conformance import expected
from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Case, Outcome
from harness.conformance.expected import MEANING, METAL, ROUNDING, unjudged

EXPECTED = {
    "1.5.1": {
        "ops": {
            "cases": 10,
            "unsupported": {METAL: 1, "transformers": 2},
            "float64": {MEANING: 1, ROUNDING: 1},
        },
        "tq_norm": {"cases": 2, "unsupported": {METAL: 2}},
    }
}


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What this machine does not have."""
    names = {METAL, "transformers"}
    monkeypatch.setattr(expected, "_absent", lambda: names)
    return names


def outcomes(*, passed: int = 7, failed: int = 0, missing: tuple[str, ...] = ()) -> list[Outcome]:
    statuses = [(PASSED, "")] * passed + [(FAILED, "")] * failed
    statuses += [(UNSUPPORTED, need) for need in missing]
    found = [
        Outcome(Case("ops", "add", number, f"add_{number}"), status, "why", need)
        for number, (status, need) in enumerate(statuses)
    ]
    norms = [Case("tq_norm", "tq_norm", number, f"norm_{number}") for number in range(2)]
    return [*found, *(Outcome(case, UNSUPPORTED, "a Metal kernel", METAL) for case in norms)]


def found(
    made: list[Outcome], *, whole: bool = True, version: str = "1.5.1", float64: bool = False
) -> list[str]:
    return unjudged(made, version, whole=whole, float64=float64, expectations=EXPECTED)


USUAL = (METAL, "transformers", "transformers")


@pytest.mark.usefixtures("absent")
def test_as_many_as_expected_are_enough() -> None:
    assert found(outcomes(missing=USUAL)) == []
    assert found(outcomes(passed=5, failed=2, missing=USUAL)) == []
    assert found(outcomes(passed=10)) == []


@pytest.mark.usefixtures("absent")
def test_cases_that_are_gone_are_told() -> None:
    lost = ["ops: 6 cases were judged, at least 7 expected"]
    assert found(outcomes(passed=6, missing=USUAL)) == lost
    assert found(outcomes(passed=6, missing=(*USUAL, METAL))) == lost
    assert found([]) == ["ops: 0 cases were judged, at least 7 expected"]


@pytest.mark.usefixtures("absent")
def test_what_float64_cannot_judge_is_excused_there_alone() -> None:
    lacking = outcomes(passed=5, missing=(*USUAL, MEANING, ROUNDING))
    assert found(lacking, float64=True) == []
    assert found(lacking) == [
        "add_8 was not judged: why",
        "add_9 was not judged: why",
        "ops: 5 cases were judged, at least 7 expected",
    ]
    more = outcomes(passed=4, missing=(*USUAL, MEANING, MEANING, ROUNDING))
    assert found(more, float64=True) == ["ops: 4 cases were judged, at least 5 expected"]


def test_a_package_that_is_installed_excuses_nothing(absent: set[str]) -> None:
    absent.remove("transformers")
    assert found(outcomes(passed=9, missing=(METAL,))) == []
    assert found(outcomes(missing=USUAL)) == [
        "add_8 was not judged: why",
        "add_9 was not judged: why",
        "ops: 7 cases were judged, at least 9 expected",
    ]


@pytest.mark.usefixtures("absent")
def test_a_case_that_cannot_run_for_an_unknown_reason_is_told_in_any_selection() -> None:
    some = outcomes(passed=1, missing=("", METAL))
    assert found(some, whole=False) == ["add_1 was not judged: why"]
    assert found(outcomes(passed=1, missing=USUAL), whole=False) == []


@pytest.mark.usefixtures("absent")
def test_an_unknown_version_has_to_be_added() -> None:
    told = found(outcomes(missing=USUAL), version="1.6.0")
    assert told == ["expected.json says nothing of executorch 1.6.0; add its counts to it"]


def test_the_committed_expectations_are_of_the_pinned_executorch() -> None:
    root = Path(harness.conformance.__file__).parents[2]
    committed = json.loads((root / "harness" / "conformance" / "expected.json").read_text())
    (version,) = committed
    assert f"executorch=={version}" in (root / "pyproject.toml").read_text()
    suites = committed[version]
    assert sum(suite["cases"] for suite in suites.values()) == 1040
    assert sum(suite["unsupported"].get(METAL, 0) for suite in suites.values()) == 110
    in_float64 = [suite.get("float64", {}) for suite in suites.values()]
    assert sum(lacking.get(MEANING, 0) for lacking in in_float64) == 12
    assert sum(lacking.get(ROUNDING, 0) for lacking in in_float64) == 1
    needs = {need for suite in suites.values() for need in suite["unsupported"]}
    assert needs == {METAL, *expected.PACKAGES}
