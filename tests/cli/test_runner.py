"""``--executor runner``: upstream's program speaks and is judged, by a stand-in for it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fixtures.command_line import typed
from fixtures.exports import Line
from fixtures.processes import gone
from fixtures.runner import give_words
from harness.budget.regimes import NARROW
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
        "delegation", "constants", "metadata", "file size", "in float64",
        "codes, free-running", "waveform, free-running", "streaming ≡ offline", "said twice",
        "eager, pinned", "prompt", "trace: prefill hidden, frame0 hidden, frame1 hidden",
        "trace: frame0 audio embed", "trace: top logits",
    }  # fmt: skip
    assert {status for status, _ in found.values()} == {"pass"}
    executor = json.loads(report.read_text())["executor"]
    assert executor["executor"] == "runner"
    assert executor["regime"] == ("unmeasured" if sys.platform == "darwin" else NARROW)
    assert any("free-running speech alone is judged" in note for note in executor["notes"])
    assert "runner" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "case", "words"),
    [
        ("other codes", "codes, free-running", "frame 2, codebook 5"),
        ("noise", "waveform, free-running", "16-bit codes"),
        ("other hidden", "trace: prefill hidden, frame0 hidden, frame1 hidden", "difference"),
        ("other embedding", "trace: frame0 audio embed", "difference"),
        ("other logits", "trace: top logits", "up to 2 from eager's"),
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


@pytest.mark.parametrize("precision", ["bf16", "bf16-4w8w"])
def test_in_16_bits_what_eager_says_is_green_and_noise_is_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path,
    parity_in: Callable[[str], Line], precision: str,
) -> None:  # fmt: skip
    give_words(parity_in(precision))
    report = tmp_path / "report.json"
    program = ("--precision", precision, "--runner-path", str(runner), "--json", str(report))

    assert typed(monkeypatch, "check", *program) == 0
    monkeypatch.setenv("STAND_IN_FAULT", "noise")
    assert typed(monkeypatch, "check", *program) == 1

    found = verdicts(report)
    red = {case for case, (status, _) in found.items() if status == "fail"}
    assert red == {"waveform, free-running"}


def test_other_values_of_its_first_frames_are_red_in_16_bits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path,
    parity_in: Callable[[str], Line],
) -> None:  # fmt: skip
    """Here the codes are not the speech that eager says by itself: it follows them."""
    line = parity_in("bf16")
    give_words(line)
    with np.load(tmp_path / "said.npz") as said:
        kept = dict(said)
    kept["codes"] = kept["codes"].copy()
    kept["codes"][3, 1] += 1 if kept["codes"][3, 1] < 22 else -1  # after what is traced of frame 1
    np.savez(tmp_path / "said.npz", **kept)
    report = tmp_path / "report.json"
    program = ("--precision", "bf16", "--runner-path", str(runner), "--json", str(report))

    monkeypatch.setenv("STAND_IN_FAULT", "other hidden")
    assert typed(monkeypatch, "check", *program) == 1

    found = verdicts(report)
    assert found["trace: prefill hidden, frame0 hidden, frame1 hidden"][0] == "fail"
    assert found["trace: frame0 audio embed"][0] == "pass"
    assert found["prompt"][0] == "pass"


def test_another_prompt_is_told_first_and_codes_are_not_blamed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "other prompt")
    report = tmp_path / "report.json"

    assert typed(monkeypatch, "check", "--runner-path", str(runner), "--json", str(report)) == 1

    speech = [v for v in json.loads(report.read_text())["verdicts"] if v["subject"] == "speech"]
    assert speech[0]["case"] == "prompt"
    assert "is not ours of" in speech[0]["summary"]
    assert any("tokenizer of its own" in note for note in speech[0]["notes"])
    found = verdicts(report)
    assert found["codes, free-running"] == (
        "unjudged", "the codes were not compared with eager: the prompts differ",
    )  # fmt: skip
    assert not any(case.startswith("trace") for case in found)
    assert found["waveform, free-running"][0] == "pass"


def test_what_it_said_last_is_in_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "no backend")
    report = tmp_path / "report.json"

    assert typed(monkeypatch, "check", "--runner-path", str(runner), "--json", str(report)) == 2

    verdict = next(v for v in json.loads(report.read_text())["verdicts"]
                   if v["case"] == "free-running")  # fmt: skip
    assert "Backend MLXBackend is not registered. / F" in verdict["summary"]
    assert any("It said last:" in note and "assert failed" in note for note in verdict["notes"])


FAULTS = [
    ("crash", "the runner died with signal SIGABRT"),
    ("hang", "the runner did not finish in 1 s and was killed"),
    ("empty WAV", "output.wav is no whole WAV"),
    ("truncated WAV", "output.wav is no whole WAV"),
    ("other rate", "the runner's WAV has 16000 Hz, the model 24000 Hz"),
]


def patience(fault: str) -> tuple[str, str]:
    """A second for who hangs; others have time to start on a machine that is busy."""
    return "--runner-timeout", "1" if fault == "hang" else "30"


@pytest.mark.parametrize(("fault", "sentence"), [*FAULTS, ("chatter", "bytes on stdout for")])
def test_what_does_not_end_well_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path, fault: str, sentence: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    report = tmp_path / "report.json"
    program = ("--executor", "runner", "--runner-path", str(runner), *patience(fault))

    assert typed(monkeypatch, "check", *program, "--json", str(report)) == 2

    status, summary = verdicts(report)["free-running"]
    assert status == "unjudged"
    assert sentence in summary


def test_it_speaks_and_its_files_are_kept(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, runner: Path, tiny_line: Line
) -> None:
    wav, codes = tmp_path / "out.wav", tmp_path / "codes.txt"

    code = typed(
        monkeypatch, "synth", "--text", "Hello, how are you today?", "--max-new-tokens", "8",
        "--executor", "runner", "--runner-path", str(runner),
        "--output", str(wav), "--codes", str(codes),
    )  # fmt: skip

    assert code == 0
    assert read_wav(wav)[0].shape == (8 * 1920,)
    assert np.array_equal(read_codes(codes), tiny_line.speech.codes[:, :8])
    err = capfd.readouterr().err
    assert "8 frames (0.64 s of audio, no END_AUDIO) in" in err
    assert "the runner's times hold its second load of model.pte and cannot be compared" in err


def test_it_draws_at_a_temperature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path
) -> None:
    code = typed(
        monkeypatch, "synth", "--text", "Hello, how are you today?", "--temperature", "0.8",
        "--runner-path", str(runner), "--output", str(tmp_path / "out.wav"),
    )  # fmt: skip

    assert code == 0
    assert (tmp_path / "out.wav").exists()


def test_it_speaks_with_files_that_somebody_else_exported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Path, tiny_line: Line
) -> None:
    given, report = tmp_path / "given", tmp_path / "report.json"
    given.mkdir()
    for name in ("model.pte", "codec_decoder.pte"):
        shutil.copyfile(tiny_line.artifact(name).path, given / name)
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
    program = ("--executor", "runner", "--runner-path", str(runner), *patience(fault))

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_ends_the_runner(number: signal.Signals, tmp_path: Path) -> None:
    program, started, wav = (tmp_path / name for name in ("runner", "pid", "out.wav"))
    program.write_text(
        f"#!{sys.executable}\nimport os, time\n"
        f"open({str(started)!r} + '.new', 'w').write(str(os.getpid()))\n"
        f"os.rename({str(started)!r} + '.new', {str(started)!r})\ntime.sleep(120)\n"
    )
    program.chmod(0o755)
    command = ("synth", "--text", "Hi", "--executor", "runner", "--runner-path", str(program))
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *command, "--output", str(wav)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(1200):
        if started.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    runner = int(started.read_text())

    process.send_signal(number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert said.endswith("voxtral-parity: interrupted\n")
    assert gone(runner)
    assert not wav.exists()
