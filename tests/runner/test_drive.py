"""Upstream's runner, by a stand-in that honours its contract and breaks it in every listed way."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ExecutionError, HarnessError, MachineError, UnavailableError
from harness.runner import RunnerArgs, run_runner
from harness.synthesis import Utterance

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
def args(tmp_path: Path) -> RunnerArgs:
    for name in ("model.pte", "codec_decoder.pte", "tekken.json"):
        (tmp_path / name).touch()
    files = [tmp_path / name for name in ("model.pte", "codec_decoder.pte", "tekken.json")]
    return RunnerArgs(*files, Utterance("Hi there"))


def test_wav_codes_and_figures_are_read(program: Path, args: RunnerArgs) -> None:
    result = run_runner(program, args, frame_samples=1920)
    assert result.sampling_rate == 24000
    assert result.pcm.shape == (FRAMES * 1920,)
    assert result.codes is not None
    assert result.codes.shape == (37, FRAMES)
    assert result.timing.frames == 12
    assert result.timing.generate_ms == 95
    assert result.trace is None
    assert result.timing.audio_seconds == 0.96
    assert result.timing.ended
    assert result.timing.wall_ms > 0


def test_its_warm_up_is_timed(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "slow warm-up")
    timing = run_runner(program, args, frame_samples=1920).timing
    assert timing.warm_up_ms is not None
    assert timing.warm_up_ms > 290
    assert timing.generate_ms == 95


def test_a_warm_up_that_its_log_does_not_show_has_no_time(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "unseen warm-up")
    timing = run_runner(program, args, frame_samples=1920).timing
    assert (timing.generate_ms, timing.warm_up_ms) == (95.0, None)


def test_a_trace_is_read_where_it_was_asked_for(program: Path, args: RunnerArgs) -> None:
    changed = dataclasses.replace(args, trace=True)
    result = run_runner(program, changed, frame_samples=1920)
    assert result.trace is not None
    assert result.trace.prompt.tolist() == [1, 25, 36, 7, 35, 25]
    assert result.codes is not None
    assert result.trace.codes.tolist() == result.codes[0, :3].tolist()
    assert result.trace.top_ids.shape == result.trace.top_logits.shape == (3, 5)
    assert set(result.trace.vectors) == {
        "prefill_hidden", "frame0_hidden", "frame1_hidden", "frame0_audio_embed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        ("truncated trace", MachineError, r"exit code 0, but .*trace\.json"),
        ("other trace", ExecutionError, "trace and its dump of codes tell different codes"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch, fault: str,
    error: type[HarnessError], complaint: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(error, match=complaint):
        run_runner(program, dataclasses.replace(args, trace=True), frame_samples=1920)


def test_an_error_is_quoted_whole_or_not_at_all_and_its_last_lines_are_kept(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "long complaint")
    with pytest.raises(MachineError, match=r"(?m)1: E .*x{250} and why\. / last words$") as died:
        run_runner(program, args, frame_samples=1920)
    assert "old news" not in str(died.value)
    (said,) = died.value.__notes__
    assert [line[:2] for line in said.splitlines()][-3:] == ["E ", "E ", "la"]


def test_its_flags_are_passed_on(program: Path, args: RunnerArgs) -> None:
    said = dataclasses.replace(args.utterance, max_new_tokens=3, voice="v.pt", seed=2**32 - 1)
    changed = dataclasses.replace(args, utterance=said)
    assert "--seed=-1" in changed.flags(Path("o.wav"))
    assert "--voice=v.pt" in changed.flags(Path("o.wav"))
    result = run_runner(program, changed, frame_samples=1920)
    assert result.timing.frames == 3
    assert not result.timing.ended


@pytest.mark.parametrize("speaker", [False, True])
def test_a_stream_has_no_codes_and_a_first_chunk(
    program: Path, args: RunnerArgs, speaker: bool
) -> None:
    said = dataclasses.replace(args.utterance, streaming=not speaker)
    changed = dataclasses.replace(args, utterance=said, speaker=speaker)
    result = run_runner(program, changed, frame_samples=1920)
    assert result.codes is None
    assert result.timing.frames == 12
    assert 0 <= result.timing.first_audio_ms < result.timing.wall_ms


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        ("crash", MachineError, "died with signal SIGABRT: F .*: text_decoder prefill failed"),
        ("no voice", MachineError, "SIGABRT: F .*: Failed to open voice embedding: v.pt"),
        ("no WAV", MachineError, r"cannot be read: .* \(Failed to open output: .*output.wav / T"),
        ("empty WAV", MachineError, "exit code 0, but output.wav is no whole WAV or FLAC file"),
        ("unfinished WAV", MachineError, "exit code 0, but output.wav"),
        ("truncated WAV", MachineError, "exit code 0, but output.wav is no whole WAV file"),
        ("lying WAV", MachineError, "its header says 2,147,483,648 bytes"),
        ("17 bits", MachineError, "its header says 17 bits"),
        ("silent", ExecutionError, "made no audio: No audio frames generated"),
        ("short WAV", ExecutionError, "12 frames, 23,040 samples, and its WAV holds 22,080"),
        ("fewer codes", ExecutionError, "reports 12 frames and dumps 11"),
        (
            "another program",
            UnavailableError,
            "is no voxtral_tts_runner: it ended with exit code 0",
        ),
        ("older program", UnavailableError, "unknown command line flag 'trace_json'"),
    ],
)
def test_each_failure_is_one_sentence(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch, fault: str,
    error: type[HarnessError], complaint: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(error, match=complaint):
        run_runner(program, args, frame_samples=1920)


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        ("silent", ExecutionError, "made no audio: Streaming: 0 frames"),
        ("no WAV", MachineError, "SIGABRT: F .*: Failed to open WAV output"),
        ("codec too short", MachineError, "SIGABRT: F .*: codec decode window exceeds exported"),
    ],
)
def test_each_failure_of_a_stream_is_one_sentence(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch, fault: str,
    error: type[HarnessError], complaint: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(error, match=complaint):
        run_runner(program, dataclasses.replace(args, speaker=True), frame_samples=1920)


def test_its_log_of_errors_is_quoted_with_the_assertion(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "no backend")
    quoted = (
        r"(?m)SIGABRT: E .*MLXBackend is not registered\. "
        r"/ F .*assert failed .*: token_embedding warmup failed$"
    )
    with pytest.raises(MachineError, match=quoted):
        run_runner(program, args, frame_samples=1920)


@pytest.mark.parametrize(("given", "seen"), [(None, "0"), ("1", "1")])
def test_its_products_are_full_float32_unless_the_user_says_otherwise(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch, given: str | None, seen: str
) -> None:
    monkeypatch.delenv("MLX_ENABLE_TF32", raising=False)
    if given is not None:
        monkeypatch.setenv("MLX_ENABLE_TF32", given)
    monkeypatch.setenv("STAND_IN_FAULT", "tell TF32")
    with pytest.raises(MachineError, match=f"(?m)MLX_ENABLE_TF32={seen}$"):
        run_runner(program, args, frame_samples=1920)


def test_any_other_program_is_named_as_such(args: RunnerArgs) -> None:
    with pytest.raises(UnavailableError, match=r"is no voxtral_tts_runner: .*printed nothing"):
        run_runner(Path(shutil.which("true") or ""), args, frame_samples=1920)


def test_words_among_the_samples_are_a_fault(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "chatter")
    changed = dataclasses.replace(args, speaker=True)
    with pytest.raises(ExecutionError, match="they begin with 'Voxtral TTS"):
        run_runner(program, changed, frame_samples=1920)


def test_a_wav_that_is_not_upstreams_cast_of_the_samples_is_a_fault(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "rounded WAV")
    changed = dataclasses.replace(args, speaker=True)
    with pytest.raises(
        ExecutionError, match=r"(?m)first at sample .*: rounded to the nearest code$"
    ):
        run_runner(program, changed, frame_samples=1920)


def test_a_hanging_runner_is_killed(
    program: Path, args: RunnerArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "hang")
    started = time.perf_counter()
    with pytest.raises(MachineError, match="did not finish in 1 s and was killed"):
        run_runner(program, args, frame_samples=1920, timeout=1)
    assert time.perf_counter() - started < 30


def test_a_runner_that_is_not_there_is_unavailable(tmp_path: Path, args: RunnerArgs) -> None:
    with pytest.raises(UnavailableError, match="runner-preset"):
        run_runner(tmp_path / "none", args, frame_samples=1920)
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(UnavailableError, match="cannot be started"):
        run_runner(tmp_path / "text", args, frame_samples=1920)
