"""``--executor runner``: upstream's program speaks and is judged, by a stand-in for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fixtures.command_line import typed
from fixtures.exports import Line
from harness.synthesis.dump import read_codes
from harness.synthesis.wav import read_wav

Capture = pytest.CaptureFixture[str]


def verdicts(path: Path) -> dict[str, tuple[str, str]]:
    """Status and summary of each verdict of a report, by its case."""
    found = json.loads(path.read_text())["verdicts"]
    return {verdict["case"]: (verdict["status"], verdict["summary"]) for verdict in found}


def test_what_says_the_same_as_eager_is_green(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path, runner: Path
) -> None:
    report = tmp_path / "report.json"
    program = ("--executor", "runner", "--runner-path", str(runner))

    assert typed(monkeypatch, "check", *program, "--json", str(report)) == 0

    found = verdicts(report)
    assert set(found) == {
        "delegation", "constants", "metadata", "file size",
        "codes, free-running", "waveform, free-running", "streaming ≡ offline", "said twice",
        "eager, pinned",
    }  # fmt: skip
    assert {status for status, _ in found.values()} == {"pass"}
    executor = json.loads(report.read_text())["executor"]
    assert executor["executor"] == "runner"
    assert any("free-running speech alone is judged" in note for note in executor["notes"])
    assert "runner" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "case", "words"),
    [
        ("other codes", "codes, free-running", "frame 2, codebook 5"),
        ("other sound", "waveform, free-running", "16-bit codes"),
        ("late sound", "waveform, free-running", "16-bit codes"),
        ("other stream", "streaming ≡ offline", "16-bit codes"),
        ("moody", "said twice", "the second of two identical requests gave other samples"),
    ],
)
def test_what_says_something_else_is_a_mismatch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path, fault: str, case: str, words: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    report = tmp_path / "report.json"
    program = ("--executor", "runner", "--runner-path", str(runner))

    assert typed(monkeypatch, "check", *program, "--json", str(report)) == 1

    status, summary = verdicts(report)[case]
    assert status == "fail"
    assert words in summary


FAULTS = [
    ("crash", "the runner died with signal SIGABRT"),
    ("hang", "the runner did not finish in 3 s and was killed"),
    ("empty WAV", "output.wav is no whole WAV"),
    ("truncated WAV", "output.wav is no whole WAV"),
    ("other rate", "the runner's WAV has 16000 Hz, the model 24000 Hz"),
]


@pytest.mark.parametrize(("fault", "sentence"), [*FAULTS, ("chatter", "bytes on stdout for")])
def test_what_does_not_end_well_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path, fault: str, sentence: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    report = tmp_path / "report.json"
    program = ("--executor", "runner", "--runner-path", str(runner), "--runner-timeout", "3")

    assert typed(monkeypatch, "check", *program, "--json", str(report)) == 2

    status, summary = verdicts(report)["free-running"]
    assert status == "unjudged"
    assert sentence in summary


def test_it_speaks_and_its_files_are_kept(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, runner: Path, parity: Line
) -> None:
    wav, codes = tmp_path / "out.wav", tmp_path / "codes.txt"

    code = typed(
        monkeypatch, "synth", "--text", "Hello, how are you today?", "--max-new-tokens", "8",
        "--executor", "runner", "--runner-path", str(runner),
        "--output", str(wav), "--codes", str(codes),
    )  # fmt: skip

    assert code == 0
    assert read_wav(wav)[0].shape == (8 * 1920,)
    assert np.array_equal(read_codes(codes), parity.speech.codes[:, :8])
    assert "8 frames (0.64 s of audio, no END_AUDIO) in 95 ms" in capfd.readouterr().err


def test_it_speaks_with_files_that_somebody_else_exported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path, parity: Line
) -> None:
    given, report = tmp_path / "given", tmp_path / "report.json"
    given.mkdir()
    for name in ("model.pte", "codec_decoder.pte"):
        shutil.copyfile(parity.artifact(name).path, given / name)
    program = ("--executor", "runner", "--runner-path", str(runner), "--artifacts", str(given))

    assert typed(monkeypatch, "check", *program, "--json", str(report)) == 0

    assert {status for status, _ in verdicts(report).values()} == {"pass"}
    artifacts = json.loads(report.read_text())["artifacts"]
    assert [artifact["name"] for artifact in artifacts] == ["model.pte", "codec_decoder.pte"]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_what_does_not_end_well_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, runner: Path, fault: str,
    sentence: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    wav = tmp_path / "out.wav"
    program = ("--executor", "runner", "--runner-path", str(runner), "--runner-timeout", "3")

    assert typed(monkeypatch, "synth", "--text", "Hi", *program, "--output", str(wav)) == 2

    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("voxtral-parity: ")
    assert sentence in last
    assert not wav.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check", "--executor", "runner"), "--executor runner and --runner-path go together"),
        (("check", "--executor", "eager", "--runner-path", "PROGRAM"),
         "--executor runner and --runner-path go together"),
        (("check", "--executor", "runner", "--runner-path", "nowhere"), "is no runner at nowhere"),
        (("check", "codec", "--executor", "runner", "--runner-path", "PROGRAM"),
         "cannot call one method at a time; leave codec out"),
        (("check", "--executor", "runner", "--runner-path", "PROGRAM", "--triangulate"),
         "--triangulate cannot be combined with the runner"),
        (("synth", "--text", "Hi", "--executor", "runner", "--runner-path", "nowhere"),
         "is no runner at nowhere"),
        (("synth", "--text", "Hi", "--executor", "runner", "--runner-path", "PLAIN"),
         "it is not executable"),
        (("synth", "--text", " ", "--executor", "runner", "--runner-path", "PROGRAM"),
         "the text is empty"),
        (("synth", "--text", "Hi", "--executor", "runner", "--runner-path", "PROGRAM",
          "--no-seed-step"), "always takes the seed step"),
        (("synth", "--text", "Hi", "--executor", "runner", "--runner-path", "PROGRAM",
          "--speaker"), "has a --speaker of its own"),
        (("synth", "--text", "Hi", "--executor", "runner", "--runner-path", "PROGRAM",
          "--streaming", "--codes", "c.txt"), "tells no codes when it streams"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_it_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture,
    tmp_path: Path, runner: Path,
) -> None:  # fmt: skip
    (tmp_path / "plain").touch()
    places = {"PROGRAM": str(runner), "PLAIN": str(tmp_path / "plain")}
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())

    assert typed(monkeypatch, *(places.get(word, word) for word in arguments)) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert sentence in err.strip().splitlines()[-1]
    assert sorted(tmp_path.iterdir()) == before
