"""`voxtral-parity inspect` as somebody meets it who has a `.pte` and no checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.command_line import typed

Capture = pytest.CaptureFixture[str]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return typed(monkeypatch, "inspect", *arguments)


def test_a_table_on_stdout_and_json_in_a_file(
    exported: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    tmp_path: Path,
) -> None:
    path, written = exported("several").path, tmp_path / "several.json"
    code = run(monkeypatch, str(path), "--method", "second", "--json", str(written))
    out, err = capsys.readouterr()
    assert code == 0
    assert err == ""
    assert "f32[1,6,12]" in out
    assert "first" not in out
    assert [m["name"] for m in json.loads(written.read_text())["methods"]] == ["second"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"RIFF" * 99, "is not a .pte")],
)
def test_no_program_is_one_sentence_and_exit_code_2(
    content: bytes | None,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    tmp_path: Path,
) -> None:
    path = tmp_path / "it.pte"
    if content is not None:
        path.write_bytes(content)
    assert run(monkeypatch, str(path)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_a_pipe_is_refused_and_not_waited_for(
    exported: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "it.pte")
    assert run(monkeypatch, str(tmp_path / "it.pte")) == 2
    assert "it is not a regular file" in capsys.readouterr().err

    program = tmp_path / "that.pte"
    program.write_bytes(exported("linear").path.read_bytes())
    os.mkfifo(tmp_path / "that.nodes.json")
    assert run(monkeypatch, str(program)) == 0
    assert "no names were kept beside the file" in capsys.readouterr().out


def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    assert run(monkeypatch, str(tmp_path / "none.pte"), "--json", str(tmp_path)) == 2
    assert "none.pte" not in capsys.readouterr().err


def test_a_locale_without_utf8_reads_the_schemas(exported: Callable[[str], Any]) -> None:
    script = "from harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", str(exported("linear").path)],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
