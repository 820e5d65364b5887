from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Case, Mode, Outcome
from harness.conformance.report import Report, as_json, write_json

PASS = Outcome(Case("ops", "add", 0, "add"), PASSED, seconds=1.5, cpu_seconds=1.0, cached=True)
FAIL = Outcome(Case("ops", "add", 1, "add_scalar"), FAILED, "values do not match", "", 2.0, 0.5)
METAL = Outcome(Case("tq_norm", "tq_norm", 0, "tq_norm_b1"), UNSUPPORTED, "a Metal kernel", "Metal")
DEEP = Outcome(
    Case("tq_norm", "tq_norm", 1, "tq_norm_b2"),
    UNSUPPORTED,
    "method 'forward', instruction 3: not supported here: a Metal kernel",
    "Metal",
)
LOST = Outcome(Case("ops", "add", 2, "add_3"), UNSUPPORTED, "this machine failed: out of memory")


def report(*outcomes: Outcome) -> Report:
    return Report(
        outcomes,
        whole=False,
        mode=Mode(),
        jobs=2,
        started="2026-08-01T12:00:00Z",
        seconds=3.25,
    )


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [((PASS, METAL), 0), ((METAL,), 2), ((PASS, FAIL, METAL), 1), ((PASS, LOST), 2)],
)
def test_a_failure_fails_and_nothing_judged_is_said(
    outcomes: tuple[Outcome, ...], code: int
) -> None:
    assert report(*outcomes).exit_code == code


def test_what_only_ran_is_counted_apart() -> None:
    ran = Outcome(Case("ops", "rand", 0, "rand"), PASSED, "Output comparison skipped (random)")
    assert report(PASS, ran, METAL).uncompared == 1


def test_counts_by_status_and_by_suite() -> None:
    whole = report(PASS, FAIL, METAL)
    assert whole.counts == {PASSED: 1, FAILED: 1, UNSUPPORTED: 1}
    assert whole.suites == {
        "ops": {PASSED: 1, FAILED: 1, UNSUPPORTED: 0},
        "tq_norm": {PASSED: 0, FAILED: 0, UNSUPPORTED: 1},
    }
    assert (whole.cached, whole.cpu_seconds) == (1, 1.5)


def test_cases_of_a_class_that_cannot_run_for_one_reason_are_told_together() -> None:
    together = report(PASS, METAL, DEEP).unsupported
    assert together == {("tq_norm", "a Metal kernel"): ["tq_norm_b1", "tq_norm_b2"]}


def test_json_holds_every_case_with_its_reason() -> None:
    data = json.loads(
        json.dumps(as_json(report(PASS, FAIL, METAL), "voxtral-parity conformance add"))
    )
    assert data["schema"] == "1"
    assert data["counts"] == {"passed": 1, "failed": 1, "unsupported": 1}
    assert data["suites"]["tq_norm"] == {"passed": 0, "failed": 0, "unsupported": 1}
    assert data["exit_code"] == 1
    assert data["cases"][1] == {
        "suite": "ops",
        "class": "add",
        "name": "add_scalar",
        "status": "failed",
        "reason": "values do not match",
        "seconds": 2.0,
        "cpu_seconds": 0.5,
        "cached": False,
    }


def test_the_docs_name_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conformance-schema.md").read_text()
    data = as_json(report(PASS), "")
    fields = [*data, *data["cases"][0]]
    assert [name for name in fields if f"`{name}`" not in text] == []


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(report(PASS), "voxtral-parity conformance", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["jobs"] == 2
