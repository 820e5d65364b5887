"""`voxtral-parity inspect` as somebody meets it who has a `.pte` and no checkpoint."""

from __future__ import annotations

import json
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
    [(None, "cannot be opened: No such file"), (b"", "is empty"), (b"RIFF" * 99, "is not a .pte")],
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
