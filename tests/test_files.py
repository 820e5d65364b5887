"""Files and directories arrive whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.files import cache_dir, replace_directory, replace_file


def test_the_environment_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "elsewhere"))
    assert cache_dir() == tmp_path / "elsewhere"
    assert cache_dir().is_dir()


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.pte"
    target.write_text("old")
    with replace_file(target) as scratch:
        scratch.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.pte"
    target.write_text("old")

    def interrupted() -> None:
        with replace_file(target) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replace_directory(tmp_path / "made") as scratch:
            (scratch / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_arrives_with_its_files(tmp_path: Path) -> None:
    with replace_directory(tmp_path / "made") as scratch:
        (scratch / "whole").touch()
        assert not (tmp_path / "made").exists()
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["whole"]
