"""`voxtral-parity cache` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import typed
from harness.cache import Recipe, borrowed, entries, fetch

Capture = pytest.CaptureFixture[str]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return typed(monkeypatch, "cache", *arguments)


def keep(kind: str, name: str, brief: str = "") -> Path:
    def make(scratch: Path) -> None:
        (scratch / "data").write_bytes(bytes(2500))

    with borrowed(Recipe(kind, name, {}, brief), make) as entry:
        return entry.path


def test_the_list_says_what_and_from_what(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", "140")  # a row a line
    keep("artifacts", "model.pte", "fp32, max_seq_len 128")
    fetch(Recipe("checkpoints", "tiny", {}), lambda scratch: None)
    (keep("eager", "run") / "data").unlink()

    assert run(monkeypatch) == 0

    out = capsys.readouterr().out
    model, tiny, eager = (line for line in out.splitlines() if line.startswith("│"))
    assert "artifacts" in model
    assert "fp32, max_seq_len 128" in model
    assert "in use" in tiny
    assert "damaged, will not be used" in eager
    assert "3 entries" in out
    assert "of 20.0 GB" in out


def test_an_empty_cache_is_no_error(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run(monkeypatch) == 0
    assert capsys.readouterr().out.startswith("0 entries, 0 bytes of 20.0 GB")


def test_clear_deletes_one_kind(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    keep("artifacts", "model.pte")
    keep("eager", "run")

    assert run(monkeypatch, "clear", "artifacts") == 0

    assert [entry.name for entry in entries()] == ["run"]
    assert capsys.readouterr().out.startswith("deleted 1, 2.")


def test_clear_all_deletes_every_kind(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("artifacts", "model.pte")
    keep("eager", "run")

    assert run(monkeypatch, "clear", "--all") == 0
    assert entries() == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name one kind to clear, or --all (kinds here: artifacts)"),
        (("artifacts", "--all"), "name one kind to clear, or --all"),
        (("artefacts",), "kind must be one of artifacts (got 'artefacts')"),
    ],
)
def test_a_bad_request_deletes_nothing_and_is_exit_code_2(
    arguments: tuple[str, ...],
    sentence: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    keep("artifacts", "model.pte")

    assert run(monkeypatch, "clear", *arguments) == 2

    assert sentence in capsys.readouterr().err
    assert len(entries()) == 1


def test_what_is_in_use_stays_and_is_exit_code_2(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    fetch(Recipe("artifacts", "model.pte", {}), lambda scratch: None)

    assert run(monkeypatch, "clear", "--all") == 2

    out, err = capsys.readouterr()
    assert "1 stayed, since another process uses them: model.pte" in err
    assert "deleted 0" in out
