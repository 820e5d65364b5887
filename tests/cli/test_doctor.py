"""`voxtral-parity doctor`: what is here, and one sentence of advice where something is not."""

from __future__ import annotations

import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from fixtures.command_line import typed
from fixtures.machine import FAULT, measured
from harness.runtime.portable import PortableExecutor

Capture = pytest.CaptureFixture[str]


def test_it_names_versions_executors_recognisers_and_corrections(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert typed(monkeypatch, "doctor") == 0

    out = capsys.readouterr().out
    assert "1.5.1 (pinned ==1.5.1)" in out
    assert "mlx inside executorch │ 0.32.2" in out
    assert "executor portable" in out
    assert "--asr pocketsphinx" in out
    assert "adjacent-indices" in out
    assert "x[i]" in out
    assert "can be written" in out
    assert "exit code 0" in out


@pytest.mark.parametrize(
    ("executor", "found"),
    [
        ("portable", "float32 exact-f32, float16 exact-f32, bfloat16 exact-f32"),
        ("xnnpack", "cannot be measured"),
    ],
)
def test_it_measures_how_exactly_an_executor_multiplies(
    executor: str, found: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert typed(monkeypatch, "doctor", "--regime", executor) == 0
    out = capsys.readouterr().out
    assert f"regime of {executor}" in out
    assert found in out


def test_a_wrong_kernel_is_told_and_cannot_be_lived_with(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(PortableExecutor, "regime", lambda executor: measured(FAULT))
    monkeypatch.setenv("COLUMNS", "200")
    assert typed(monkeypatch, "doctor", "--regime", "portable") == 2
    out = capsys.readouterr().out
    assert "matrix in float32, M = 9: 7 at (0, 3), expected 5" in out
    assert "float32 wrong" in out


def diagnose(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> tuple[int, str]:
    monkeypatch.setenv("COLUMNS", "300")
    code = typed(monkeypatch, "doctor")
    return code, capsys.readouterr().out


def test_a_cache_that_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "cache"))

    code, out = diagnose(monkeypatch, capsys)

    assert code == 2
    assert "set VOXTRAL_PARITY_CACHE to a directory that can be written" in out
    assert "1 to mend" in out


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))

    code, out = diagnose(monkeypatch, capsys)

    assert code == 2
    assert "free some, or move the cache by VOXTRAL_PARITY_CACHE" in out


@pytest.mark.parametrize(
    ("package", "version", "code", "advice"),
    [
        ("torch", None, 2, "python -m pip install -e ."),
        ("executorch", "1.6.0", 2, "install executorch==1.5.1, the version that was proven"),
        ("mistral-common", "1.14.9", 0, "constraints.txt has 1.13.1"),
        ("mlx", "0.32.4", 2, "install mlx==0.32.2, so that both agree"),
    ],
)
def test_a_package_that_is_missing_or_of_another_version(
    package: str,
    version: str | None,
    code: int,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    installed = metadata.version

    def pretend(name: str) -> str:
        if name != package:
            return installed(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", pretend)

    found, out = diagnose(monkeypatch, capsys)

    assert found == code
    assert advice in out
