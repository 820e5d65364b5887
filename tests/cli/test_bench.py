"""``voxtral-parity bench speech``: speeches in processes of their own, timed and compared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fixtures.command_line import typed

Capture = pytest.CaptureFixture[str]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return typed(monkeypatch, "bench", "speech", *arguments)


def test_executors_are_timed_and_compared_with_a_saved_run(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, artifacts: None, runner: Path
) -> None:
    saved = tmp_path / "saved.json"
    short = ("--runs", "1", "--max-new-tokens", "2")
    program = ("--executor", "runner", "--runner-path", str(runner))

    assert run(monkeypatch, *short, "--executor", "portable", *program, "--json", str(saved)) == 0

    capfd.readouterr()
    found = {entry["executor"]: entry for entry in json.loads(saved.read_text())["contenders"]}
    portable, spoken = found["portable"]["runs"][0], found["runner"]["runs"][0]
    assert (portable["frames"], portable["audio_seconds"]) == (2, 0.16)
    assert portable["wall_ms"] > portable["first_audio_ms"] > portable["generate_ms"] > 0
    assert spoken["frames"] == 2
    assert spoken["generate_ms"] == pytest.approx(95, abs=90)  # without its second load
    assert spoken["wall_ms"] > 0

    assert run(monkeypatch, *short, *program, "--against", str(saved)) == 0
    assert re.search(r"runner takes \d+\.\d\d times as long as in", capfd.readouterr().out)

    assert run(monkeypatch, *short, *program, "--text", "Other", "--against", str(saved)) == 2
    assert "its text is 'Hello, how are you today?', this one's 'Other'" in capfd.readouterr().err


def test_streams_tell_the_time_to_their_first_chunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path
) -> None:
    program = ("--executor", "runner", "--runner-path", str(runner))
    figures = tmp_path / "b.json"

    assert run(monkeypatch, "--runs", "2", "--streaming", *program, "--json", str(figures)) == 0

    (contender,) = json.loads(figures.read_text())["contenders"]
    assert all(0 <= one["first_audio_ms"] < one["wall_ms"] for one in contender["runs"])
    assert contender["warm"]["generate_ms"] == 95
    assert contender["warm"]["warm_up_ms"] is not None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--executor", "gpu"), "executor must be one of auto, native"),
        (("--executor", "runner"), "--executor runner and --runner-path go together"),
        (("--executor", "eager", "--runner-path", "p"), "--executor runner and --runner-path go"),
        (("--executor", "runner", "--runner-path", "p"), "there is no runner at p"),
        (("--runner-path", "p"), "there is no runner at p"),
        (("--against", "nowhere.json"), "nowhere.json cannot be read"),
        (("--json", "/dev/null"), "it is a device or a pipe, not a file"),
        (("--executor", "portable", "--text", ""), "the text is empty"),
    ],
)
def test_bad_input_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, artifacts: None,
    arguments: tuple[str, ...], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    assert run(monkeypatch, *arguments) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert sentence in " ".join(err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_one_sentence_and_no_figures(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, runner: Path
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "crash")
    program = ("--executor", "runner", "--runner-path", str(runner))
    figures = tmp_path / "b.json"

    assert run(monkeypatch, "--runs", "1", *program, "--json", str(figures)) == 2

    assert "the runner died with signal SIGABRT" in capfd.readouterr().err
    told = json.loads(figures.read_text())  # an earlier run's figures cannot be taken for these
    assert told["exit_code"] == 2
    assert "contenders" not in told
