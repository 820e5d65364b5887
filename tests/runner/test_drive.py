"""Upstream's runner, by a stand-in that honours its contract and breaks it in every listed way."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ExecutionError, UnavailableError
from harness.runner import Order, run_runner

FRAMES = 12


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in as an executable, with something to say."""
    draw = np.random.default_rng(2)
    waveform = (0.2 * draw.standard_normal(FRAMES * 1920)).astype(np.float32)
    np.savez(tmp_path / "s.npz", codes=draw.integers(2, 23, (37, FRAMES)), waveform=waveform)
    monkeypatch.setenv("STAND_IN_SPEECH", str(tmp_path / "s.npz"))
    path = tmp_path / "voxtral_tts_runner"
    script = (Path(__file__).parent / "stand_in.py").read_text()
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(0o755)
    return path


@pytest.fixture
def order(tmp_path: Path) -> Order:
    for name in ("model.pte", "codec_decoder.pte", "tekken.json"):
        (tmp_path / name).touch()
    return Order(
        tmp_path / "model.pte", tmp_path / "codec_decoder.pte", tmp_path / "tekken.json", "Hi there"
    )


def test_wav_codes_and_figures_are_read(program: Path, order: Order) -> None:
    heard = run_runner(program, order, frame_samples=1920)
    assert heard.sampling_rate == 24000
    assert heard.pcm.shape == (FRAMES * 1920,)
    assert heard.codes is not None
    assert heard.codes.shape == (37, FRAMES)
    assert (heard.figures.frames, heard.figures.generate_ms) == (12, 95.0)
    assert heard.figures.load_ms == 12.0
    assert heard.figures.ended
    assert heard.figures.wall_ms > 0


def test_its_flags_are_passed_on(program: Path, order: Order) -> None:
    told = dataclasses.replace(order, max_new_tokens=3, voice="v.pt", seed=2**32 - 1)
    assert "--seed=-1" in told.flags(Path("o.wav"))
    assert "--voice=v.pt" in told.flags(Path("o.wav"))
    heard = run_runner(program, told, frame_samples=1920)
    assert heard.figures.frames == 3
    assert not heard.figures.ended


@pytest.mark.parametrize("how", ["streaming", "speaker"])
def test_a_stream_has_no_codes_and_a_first_chunk(program: Path, order: Order, how: str) -> None:
    told = dataclasses.replace(order, **{how: True})
    heard = run_runner(program, told, frame_samples=1920)
    assert heard.codes is None
    assert heard.figures.frames == 12
    assert 0 <= heard.figures.first_audio_ms < heard.figures.wall_ms


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("crash", "crashed with signal SIGABRT: E 00:00 text_decoder prefill failed"),
        ("exit", "crashed with exit code 1: Failed to open voice embedding"),
        ("silent", "made no audio: No audio frames generated"),
        ("no WAV", "left no sound: cannot read"),
        ("empty WAV", "left no sound: output.wav is no whole WAV file"),
        ("unfinished WAV", "left no sound: output.wav"),
        ("truncated WAV", "left no sound: output.wav is no whole WAV file"),
        ("short WAV", "reports 12 frames, 23,040 samples, and its WAV holds 22,080"),
        ("fewer codes", "reports 12 frames and dumps 11"),
    ],
)
def test_each_failure_is_one_sentence(
    program: Path, order: Order, monkeypatch: pytest.MonkeyPatch, fault: str, complaint: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(ExecutionError, match=complaint):
        run_runner(program, order, frame_samples=1920)


def test_words_among_the_samples_are_a_fault(
    program: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "chatter")
    told = dataclasses.replace(order, speaker=True)
    with pytest.raises(ExecutionError, match="they begin with 'Voxtral TTS"):
        run_runner(program, told, frame_samples=1920)


def test_a_hanging_runner_is_killed(
    program: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "hang")
    started = time.perf_counter()
    with pytest.raises(ExecutionError, match="did not finish in 1 s and was killed"):
        run_runner(program, order, frame_samples=1920, timeout=1)
    assert time.perf_counter() - started < 30


def test_a_runner_that_is_not_there_is_unavailable(tmp_path: Path, order: Order) -> None:
    with pytest.raises(UnavailableError, match="runner-preset"):
        run_runner(tmp_path / "none", order, frame_samples=1920)
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(UnavailableError, match="cannot be started"):
        run_runner(tmp_path / "text", order, frame_samples=1920)
