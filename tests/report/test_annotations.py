"""Annotations of GitHub Actions."""

from __future__ import annotations

from harness.compare import Status, Verdict
from harness.report.annotations import annotation_lines


def verdict(number: int, status: Status) -> Verdict:
    return Verdict("codec", f"case {number}", "waveform", status, "off, 3 %:\nfar", elements=1)


def test_failures_come_first_and_nothing_breaks_a_line() -> None:
    found = annotation_lines(
        [verdict(0, Status.PASS), verdict(1, Status.UNJUDGED), verdict(2, Status.FAIL)]
    )

    assert found == [
        "::error title=codec · case 2::off, 3 %25:%0Afar",
        "::error title=codec · case 1::not judged: off, 3 %25:%0Afar",
    ]


def test_more_than_are_shown_are_counted() -> None:
    found = annotation_lines([verdict(number, Status.FAIL) for number in range(30)])

    assert len(found) == 10
    assert found[-1] == "::error::21 more; the report has them all"
