"""One shot: every step is run and shown, and the worst of them decides."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import e2e
from harness.synthesis.wav import read_wav

Capture = pytest.CaptureFixture[str]


class Commands:
    """Stands for `voxtral-parity`: ends each command as the test says, and keeps what was asked."""

    def __init__(self, **codes: int) -> None:
        self.codes, self.asked = codes, list[tuple[str, ...]]()

    def __call__(
        self, arguments: Sequence[str], *, quietly: bool
    ) -> subprocess.CompletedProcess[str]:
        self.asked.append(tuple(arguments))
        return subprocess.CompletedProcess([], self.codes.get(arguments[0], 0))


def shot(
    monkeypatch: pytest.MonkeyPatch, directory: Path, *arguments: str, **codes: int
) -> tuple[int, Commands]:
    commands = Commands(**codes)
    monkeypatch.setattr(e2e, "call_self", commands)
    return e2e.main([*arguments, "--output-dir", str(directory)]), commands


def test_the_steps_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, commands = shot(monkeypatch, tmp_path, "--asr", "pocketsphinx")

    assert code == 0
    assert [asked[0] for asked in commands.asked] == ["export", "synth", "synth", "check", "bench"]
    assert ["--streaming" in asked for asked in commands.asked] == [0, 0, 1, 0, 0]
    assert ["--asr=pocketsphinx" in asked for asked in commands.asked] == [0, 1, 1, 1, 0]
    assert all("--checkpoint=tiny" in asked for asked in commands.asked)
    # its usual codec of 40 frames could not stream a chunk of 25 after 25 of context
    assert "--max-codec-frames=50" in commands.asked[0]


def test_a_runner_is_judged_and_timed_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, commands = shot(monkeypatch, tmp_path, "small", "--runner-path", "tts")
    by_the_runner = [asked[0] for asked in commands.asked if "--runner-path=tts" in asked]
    assert by_the_runner == ["check", "bench"]
    assert "--max-codec-frames" not in " ".join(commands.asked[0])


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ({}, 0),
        ({"check": 1}, 1),
        ({"bench": 2}, 2),
        ({"synth": 2, "check": 1}, 1),
        ({"synth": -6}, 2),
        ({"export": 2}, 2),
    ],
)
def test_the_worst_step_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, codes: dict[str, int], worst: int
) -> None:
    assert shot(monkeypatch, tmp_path, **codes)[0] == worst


def test_without_an_export_nothing_else_is_run_nor_left(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    for name in ("model.pte", "offline.wav", "report.json"):
        (tmp_path / name).write_text("from an earlier shot")
    (tmp_path / "notes.txt").write_text("the user's")

    code, commands = shot(monkeypatch, tmp_path, export=2)

    assert code == 2
    assert len(commands.asked) == 1
    assert capsys.readouterr().out.count("not run: there is no export") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_every_step_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    shot(monkeypatch, tmp_path, check=1, bench=2)
    out = capsys.readouterr().out
    for words in ("speak, offline", "a mismatch", "could not be judged", "exit code 1, a mismatch"):
        assert words in out


@pytest.mark.slow
def test_tiny_is_exported_spoken_judged_and_timed(tmp_path: Path) -> None:
    assert e2e.main(["--runs", "1", "--executor", "portable", "--output-dir", str(tmp_path)]) == 0

    assert sorted(path.name for path in tmp_path.glob("*.pte")) == [
        "codec_decoder.pte",
        "model.pte",
    ]
    offline, streamed = (read_wav(tmp_path / f"{how}.wav")[0] for how in ("offline", "streaming"))
    assert offline.shape == streamed.shape
    assert json.loads((tmp_path / "report.json").read_text())["exit_code"] == 0
    assert json.loads((tmp_path / "bench.json").read_text())["contenders"][0]["runs"]
