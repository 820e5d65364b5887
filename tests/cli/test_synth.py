"""``voxtral-parity synth`` as a user meets it, in a process of its own where pipes matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harness
from fixtures.command_line import typed
from fixtures.exports import Line
from harness.asr import transcriber
from harness.synthesis.dump import read_codes
from harness.synthesis.wav import read_wav

Capture = pytest.CaptureFixture[str]

HELLO = ("--text", "Hello, how are you today?", "--executor", "portable", "--max-new-tokens", "8")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return typed(monkeypatch, "synth", *arguments)


def test_speech_is_a_wav_file_and_its_codes(
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
    tmp_path: Path,
    artifacts: None,
    tiny_line: Line,
) -> None:
    wav, codes = tmp_path / "out.wav", tmp_path / "codes.txt"

    code = run(monkeypatch, *HELLO, "--output", str(wav), "--codes", str(codes))

    out, err = capfd.readouterr()
    assert code == 0
    samples, rate = read_wav(wav)
    assert (rate, len(samples)) == (24000, 8 * 1920)
    assert np.array_equal(read_codes(codes), tiny_line.speech.codes[:, :8])
    assert out.startswith(f"{wav}  30,764 bytes  ")
    assert "8 frames (0.64 s of audio, no END_AUDIO) in " in err
    assert "RTF" in err


def test_eager_speaks_the_same_codes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_line: Line
) -> None:
    codes = tmp_path / "codes.txt"
    arguments = ["--output", str(tmp_path / "out.wav"), "--codes", str(codes)]

    assert run(monkeypatch, *HELLO, "--executor", "eager", *arguments) == 0
    assert np.array_equal(read_codes(codes), tiny_line.speech.codes[:, :8])


def test_eager_follows_another_implementation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_line: Line
) -> None:
    codes, json_file = tmp_path / "codes.txt", tmp_path / "s.json"
    files = ["--output", str(tmp_path / "o.wav"), "--codes", str(codes), "--json", str(json_file)]
    eager = ("--executor", "eager", "--semantics", "mlx-audio")

    assert run(monkeypatch, *HELLO, *eager, *files) == 0

    subject = json.loads(json_file.read_text())["subject"]
    assert (subject["seed_step"], subject["rounding"]) == (False, "half-even")
    assert not np.array_equal(read_codes(codes), tiny_line.speech.codes[:, :8])


def test_only_eager_follows_another_implementation(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    assert run(monkeypatch, *HELLO, "--semantics", "mlx-audio") == 2
    assert "--semantics changes eager alone" in capfd.readouterr().err


def test_the_speaker_gets_samples_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    artifacts: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *HELLO, "--speaker") == 0
    spoken, _ = capfdbinary.readouterr()
    assert list(tmp_path.iterdir()) == []

    assert run(monkeypatch, *HELLO, "--streaming", "--output", "s.wav") == 0

    samples = np.frombuffer(spoken, "<f4")
    codes, _ = read_wav(tmp_path / "s.wav")
    assert len(samples) == 8 * 1920
    assert np.array_equal((samples * np.float32(32767)).astype(np.int16), codes)


def child(script: str) -> subprocess.Popen[bytes]:
    """A process with `script` and this checkout."""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(harness.__file__).parent.parent)},
    )


def test_what_is_printed_meanwhile_goes_to_stderr() -> None:
    script = """
import os
from harness.cli import console
print("before", flush=True)
with console.raw_stdout() as raw:
    print("from Python")
    os.system("echo from elsewhere")
    raw(bytes([0, 255]))
print("after")
"""
    out, err = child(script).communicate()
    assert out == b"before\n\x00\xffafter\n"
    assert b"from Python" in err
    assert b"from elsewhere" in err


def test_a_player_that_leaves_is_one_sentence() -> None:
    script = """
from harness.cli import console
with console.raw_stdout() as raw:
    for _ in range(99):
        raw(bytes(9999))
"""
    process = child(script)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert b"InputError: whoever played the samples went away" in process.stderr.read()
    assert process.wait() == 1


def test_a_seed_and_a_temperature_decide_what_is_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, artifacts: None
) -> None:
    files = []
    for number, seed in enumerate(("1", "1", "2")):
        files.append(tmp_path / f"{number}.txt")
        arguments = ["--codes", str(files[-1]), "--output", str(tmp_path / "o.wav")]
        draw = ["--temperature", "1.5", "--seed", seed, "--max-new-tokens", "2"]
        assert run(monkeypatch, *HELLO, *draw, *arguments) == 0
    first, again, other = (file.read_bytes() for file in files)
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--text", ""), "nothing to say: the text is empty"),
        (("--text", "word " * 2000), "positions and the KV cache has 128"),
        (("--text", "Hi", "--voice", "nobody"), "voice must be one of"),
        (("--text", "Hi", "--voice", "none.pt"), "there is no voice file 'none.pt'"),
        (("--text", "Hi", "--output", "/dev/null"), "it is a device or a pipe"),
        (("--text", "Hi", "--artifacts", "nowhere"), "is not in nowhere"),
        (("--text", "Hi", "--streaming", "--max-codec-frames", "40"), "windows of up to 50 frames"),
        (("--text", "Hi", "--executor", "gpu"), "executor must be one of"),
        (("--text", "Hi", "--executor", "eager", "--regime", "tf32"), "eager emulates no GPU's"),
        (("--text", "Hi", "--executor", "xnnpack", "--regime", "tf32"), "by the executor portable"),
        (("--text", "Hi", "--asr", "ear"), "asr must be one of apple, pocketsphinx, whisper"),
        (("--text", "Hi", "--asr", "command"), "--asr command and --asr-command go together"),
        (("--text", "Hi", "--asr-command", "cat"), "--asr command and --asr-command go together"),
        (("--text", "Hi", "--asr", "pocketsphinx", "--speaker"), "--asr transcribes the WAV file"),
        (("--text", "Hi", "--json", "/dev/null"), "it is a device or a pipe"),
        (("--text", "Hi", "--executor", "runner"), "--runner-path go together"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture,
    artifacts: None, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code = run(monkeypatch, *arguments)

    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert err.strip().splitlines()[-1].startswith("voxtral-parity: ")
    assert sentence in err.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_emulated_regime_says_other_codes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, artifacts: None
) -> None:
    codes = {}
    for name, options in {"plain": (), "emulated": ("--regime", "bf16-accumulate")}.items():
        file = tmp_path / f"{name}.txt"
        arguments = ("--output", str(tmp_path / "o.wav"), "--codes", str(file), *options)
        assert run(monkeypatch, *HELLO, *arguments) == 0
        codes[name] = file.read_text()
    assert codes["plain"] != codes["emulated"]


def test_any_script_can_be_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, artifacts: None
) -> None:
    arguments = ["--text", "🎧👩‍👩‍👧 日本語", "--max-new-tokens", "1", "--executor", "portable"]
    assert run(monkeypatch, *arguments, "--output", str(tmp_path / "o.wav")) == 0


def hears(words: str) -> tuple[str, ...]:
    """Flags of a recogniser that prints `words`, whatever it is given."""
    script = f'{sys.executable} -c "print({words!r})" {{}}'
    return ("--executor", "portable", "--asr", "command", "--asr-command", script)


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [("Hello how are you today", 0, "pass"), ("Something else was said", 1, "fail")],
)
def test_the_words_that_are_heard_are_judged(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, artifacts: None,
    words: str, code: int, status: str,
) -> None:  # fmt: skip
    # a synthetic checkpoint makes no words; whether it could be speech is the judge's own test
    monkeypatch.setattr(transcriber, "speaks", lambda codes, rate: True)
    figures, said = tmp_path / "s.json", ("--text", "Hello, how are you today?")
    short = ("--max-new-tokens", "2", "--output", str(tmp_path / "o.wav"), "--json", str(figures))

    assert run(monkeypatch, *said, *short, *hears(words)) == code

    out, _ = capfd.readouterr()
    assert "words by command" in out
    assert words.lower() in out
    found = json.loads(figures.read_text())
    assert found["words"]["status"] == status
    assert found["words"]["heard"] == words
    assert (found["executor"], found["run"]["frames"]) == ("portable", 2)
    assert found["subject"]["digest"]


def test_no_recogniser_is_asked_what_cannot_be_speech(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path, artifacts: None
) -> None:
    said = ("--text", "Hi", "--max-new-tokens", "1", "--output", str(tmp_path / "o.wav"))
    assert run(monkeypatch, *said, *hears("Hi")) == 1
    assert "no speech: the sound is too short" in capfd.readouterr().out


def test_what_can_never_be_said_is_refused_before_an_export(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path
) -> None:
    def exported(*arguments: object, **options: object) -> None:
        raise AssertionError("exported")

    monkeypatch.setattr("harness.parity.speaking.export", exported)
    monkeypatch.chdir(tmp_path)
    for text in ("", " \n", "word " * 2000):
        assert run(monkeypatch, "--text", text) == 2
        assert "voxtral-parity: " in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
