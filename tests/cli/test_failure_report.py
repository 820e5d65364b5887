"""A run that ends early leaves no earlier report where ``--json`` asked for today's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.cli import commands, main
from harness.errors import InputError

GREEN = {"tool_version": "1", "verdicts": [], "exit_code": 0}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(GREEN))
    return path


def end(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> None:
    def run(typed: list[str]) -> Any:
        raise error

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr("sys.argv", ["voxtral-parity", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2


@pytest.mark.parametrize("error", [InputError("no such voice"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("form", ["--json {}", "--json={}"])
def test_it_is_replaced_by_the_failure(
    error: BaseException, form: str, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(monkeypatch, error, "synth", *form.format(report).split())
    assert json.loads(report.read_text())["exit_code"] == 2
    assert not report.with_name("report.json.old").exists()


@pytest.mark.parametrize(
    "arguments", [["check", "--no-such-option"], ["inspect"], ["bench", "speech", "--runs", "many"]]
)
def test_a_command_line_that_cannot_be_parsed_does_so_too(
    arguments: list[str], report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["voxtral-parity", *arguments, "--json", str(report)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert json.loads(report.read_text())["exit_code"] == 2


def test_it_is_removed_where_it_cannot_be_replaced(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise InputError("no space left on device")

    monkeypatch.setattr("harness.report.jsonfile.write_json", full)
    end(monkeypatch, InputError("no"), "check", "--json", str(report))
    assert not report.exists()


def test_what_this_run_has_written_stays(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: report.stat().st_mtime - 1)
    end(monkeypatch, BrokenPipeError(), "check", "--json", str(report))
    assert json.loads(report.read_text()) == GREEN


def test_what_is_no_report_is_left_alone(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write_bytes(b"\x20\0\0\0ET12")
    end(monkeypatch, InputError("no"), "inspect", str(report), "--json", str(report))
    assert report.read_bytes() == b"\x20\0\0\0ET12"


@pytest.mark.parametrize("flag", ["--json", "--junit", "--markdown"])
def test_the_failure_of_an_earlier_run_is_replaced(
    flag: str, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.unlink()
    for reason in ("the first reason", "the second reason"):
        end(monkeypatch, InputError(reason), "check", flag, str(report))
        assert reason in report.read_text()
        os.utime(report, (0, 0))


@pytest.mark.parametrize(
    ("flag", "content"),
    [
        ("--markdown", "## Notes\n\nof a person\n"),
        ("--junit", '<?xml version="1.0"?>\n<testsuites>\n  <testsuite name="pytest"/>\n'),
        ("--junit", '<?xml version="1.0"?>\n<project/>\n'),
    ],
)
def test_a_document_of_another_program_is_left_alone(
    flag: str, content: str, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write_text(content)
    os.utime(report, (0, 0))
    end(monkeypatch, InputError("no"), "check", flag, str(report))
    assert report.read_text() == content


def test_a_command_line_that_is_no_utf8_can_be_reported(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(monkeypatch, InputError("no"), "check", "--qlinear", "\udcff", "--json", str(report))
    assert "\\udcff" in json.loads(report.read_text())["command"]


def test_a_sweep_of_the_zoo_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, new = tmp_path / "zoo.json", tmp_path / "new.json"
    sweep.write_text('{"versions": {}}')
    os.utime(sweep, (0, 0))
    for path in (sweep, new):
        arguments = ("voxtral-parity", "zoo", "--against", str(sweep), "--json", str(path))
        monkeypatch.setattr("sys.argv", list(arguments))
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        assert "zoo.json must be the JSON of a sweep" in capsys.readouterr().err
    assert sweep.read_text() == '{"versions": {}}'
    assert not new.exists()


@pytest.mark.parametrize("content", ['{"schema": "inspection"}', '{"cut'])
def test_json_that_is_no_report_is_moved_aside(
    content: str,
    report: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report.write_text(content)
    os.utime(report, (0, 0))
    kept = report.with_name("report.json.old")
    kept.write_text("older")

    end(monkeypatch, InputError("no"), "inspect", "no.pte", "--json", str(report))

    assert json.loads(report.read_text())["exit_code"] == 2
    assert kept.read_text() == "older"
    assert report.with_name("report.json.old1").read_text() == content
    assert f"· {report} was no report: it is report.json.old1 now" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["--against {}", "--against={}"])
def test_what_it_is_compared_with_stays(
    form: str, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write_text('{"runs": []}')
    os.utime(report, (0, 0))
    words = ["bench", "speech", *form.format(report).split(), "--json"]
    end(monkeypatch, InputError("no"), *words, f"{report.parent}/./report.json")
    assert report.read_text() == '{"runs": []}'
    assert [file.name for file in report.parent.iterdir()] == ["report.json"]
