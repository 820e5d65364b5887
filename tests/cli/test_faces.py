"""The files that `check` writes beside what it prints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from fixtures.command_line import typed
from fixtures.exports import Line
from harness.report.schema import json_schema

Capture = pytest.CaptureFixture[str]
NAMES = ("report.json", "junit.xml", "summary.md", "page/index.html", "page/report.json")


def options(directory: Path) -> tuple[str, ...]:
    json_, junit, markdown, _, _ = (str(directory / name) for name in NAMES)
    page = str(directory / "page")
    return ("--json", json_, "--junit", junit, "--markdown", markdown, "--report", page)


def test_every_form_of_a_red_run_names_its_node_and_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    wrong = ("codec", "--codec-form", "unfold", "--without", "adjacent-indices")

    assert typed(monkeypatch, "check", *wrong, "--executor", "portable", *options(tmp_path)) == 1

    printed = capsys.readouterr().out
    assert "FAIL codec · speech" in printed
    assert "one MLX delegate" in printed  # delegated whole, and wrong all the same
    assert "stock lowering put back: adjacent-indices" in printed
    report, junit, markdown, page, beside = (
        (tmp_path / name).read_text(encoding="utf-8") for name in NAMES
    )
    assert report == beside
    data = json.loads(report)
    jsonschema.validate(data, json_schema(strict=True))
    failed = [v for v in data["verdicts"] if v["status"] == "fail"]
    assert {v["next"].split()[1] for v in failed} == {"localize", "golden"}
    (found,) = data["findings"]
    assert found["proved"] is True
    first = found["findings"][0]
    assert first["place"]["node"] == "im2col"
    assert first["place"]["source"].startswith("model.py, line ")
    assert "torch.ops.aten.im2col.default(" in first["repro"]
    assert found["errors"][found["steps"].index(first["place"]["step"])] > 0.1
    assert max(found["errors"][: found["steps"].index(first["place"]["step"])]) < 1e-7
    command = failed[0]["next"]
    for told in (junit, markdown, page):
        assert command in told
        assert "im2col" in told
    suite = ElementTree.fromstring(junit)[0]
    assert int(suite.get("failures") or 0) == len(failed)


def test_a_green_run_looks_green_in_every_form(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_line: Line
) -> None:
    tiny_line.artifact("model.pte")

    said = ("token_embedding", "--executor", "portable", *options(tmp_path))
    assert typed(monkeypatch, "check", *said) == 0

    report, junit, markdown, page, _ = (
        (tmp_path / name).read_text(encoding="utf-8") for name in NAMES
    )
    jsonschema.validate(json.loads(report), json_schema(strict=True))
    assert {verdict["next"] for verdict in json.loads(report)["verdicts"]} == {""}
    assert ElementTree.fromstring(junit)[0].get("failures") == "0"
    assert markdown.startswith("## ✅ ")
    assert 'class="verdict pass"' in page


@pytest.mark.parametrize("there", [True, False])
def test_a_run_that_ends_early_leaves_no_green_form(
    there: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    suite = '<?xml version="1.0"?>\n<testsuites>\n  <testsuite name="voxtral-parity"'
    begins = ("{}", suite, "## ✅ voxtral-parity: green", "<!doctype html>green", "{}")
    for name, begin in zip(NAMES, begins, strict=True) if there else ():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(begin)
        os.utime(tmp_path / name, (1, 1))

    assert typed(monkeypatch, "check", "--checkpoint", "nowhere", *options(tmp_path)) == 2

    report, junit, markdown, page, beside = (
        (tmp_path / name).read_text(encoding="utf-8") for name in NAMES
    )
    assert json.loads(report)["exit_code"] == json.loads(beside)["exit_code"] == 2
    assert ElementTree.fromstring(junit)[0].get("errors") == "1"
    assert markdown.startswith("## ❔ ")
    assert 'class="verdict unjudged"' in page
    assert "green" not in page.partition("<body>")[2]


def test_what_is_no_report_of_ours_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = tmp_path / "page" / "index.html"
    mine.parent.mkdir()
    mine.write_text("my own page")
    notes = tmp_path / "notes.md"
    notes.write_text("# notes")

    told = ("--report", str(mine.parent), "--markdown", str(notes))
    assert typed(monkeypatch, "check", "--checkpoint", "nowhere", *told) == 2

    assert mine.read_text() == "my own page"
    assert notes.read_text() == "# notes"


def test_outputs_that_cannot_be_written_are_refused_first(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert typed(monkeypatch, "check", "--report", str(tmp_path / "file")) == 2
    assert "cannot write" in capsys.readouterr().err
    same = str(tmp_path / "a")
    assert typed(monkeypatch, "check", "--junit", same, "--markdown", same) == 2
    assert "two outputs are the same file" in capsys.readouterr().err
