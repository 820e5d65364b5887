from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

from harness.compare import Status, Verdict
from harness.report import Report, to_junit, write_junit


def suite(report: Report) -> ElementTree.Element:
    found = ElementTree.fromstring(to_junit(report)).find("testsuite")
    assert found is not None
    return found


def test_each_verdict_is_a_case_and_none_is_skipped(red: Report) -> None:
    made = suite(red)
    assert len(made.findall("testcase")) == len(red.verdicts)
    assert (made.get("failures"), made.get("errors"), made.get("skipped")) == ("8", "2", "0")
    assert len(made.findall("testcase/failure")) == 8
    assert len(made.findall("testcase/error")) == 2
    assert not made.findall("testcase/skipped")


def test_a_green_run_has_neither_failure_nor_error(green: Report) -> None:
    assert [len(case) for case in suite(green).findall("testcase")] == [0] * 6


def test_a_failure_says_what_was_missed_and_what_to_type(explained: Report) -> None:
    (failure,) = suite(explained).findall("testcase/failure")
    assert failure.get("message") == "means something else than eager"
    assert "max abs: 1.5 of scale, 1.0e-7 allowed (speech, call 0)" in (failure.text or "")
    assert "next: voxtral-parity localize codec" in (failure.text or "")


def test_a_run_without_verdicts_is_an_error(green: Report) -> None:
    made = suite(dataclasses.replace(green, verdicts=()))
    assert (made.get("tests"), made.get("errors")) == ("1", "1")
    assert len(made.findall("testcase/error")) == 1


def test_two_verdicts_of_one_case_have_two_names(green: Report) -> None:
    pair = [Verdict("codec", "a", kind, Status.FAIL, "x") for kind in ("tensor", "golden")]
    names = [case.get("name") for case in suite(dataclasses.replace(green, verdicts=tuple(pair)))
             if case.tag == "testcase"]  # fmt: skip
    assert names == ["a (tensor)", "a (golden)"]


def test_what_no_xml_holds_is_replaced(green: Report, tmp_path: Path) -> None:
    verdict = Verdict("codec", "a\x00b", "tensor", Status.FAIL, "\x1b[31m <&> \ud800")
    write_junit(dataclasses.replace(green, verdicts=(verdict,)), tmp_path / "junit.xml")
    case = ElementTree.parse(tmp_path / "junit.xml").find("testsuite/testcase")
    assert case is not None
    assert case.get("name") == "a\ufffdb"
    assert case[0].get("message") == "\ufffd[31m <&> \ufffd"
