"""Run upstream's runner on two artifacts, and check what it leaves."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from harness.compare.pcm import cast_fault
from harness.errors import (
    ExecutionError,
    HarnessError,
    InputError,
    MachineError,
    UnavailableError,
)
from harness.process import flags
from harness.runner.trace import Trace, read_trace
from harness.runtime.native.child import DEFAULTS
from harness.synthesis import Utterance
from harness.synthesis.dump import DUMP_VARIABLE, read_codes
from harness.synthesis.timing import SpeechResult, Timing
from harness.synthesis.wav import read_wav

__all__ = ["RunnerArgs", "RunnerResult", "check_program", "run_runner"]


@dataclass(frozen=True)
class RunnerArgs:
    """The runner's files, and what it says; the voice is a file's path, or None for its default.

    `speaker` streams the samples to standard output; `trace` asks for a trace, offline.
    """

    model: Path
    codec: Path
    tokenizer: Path
    utterance: Utterance
    speaker: bool = False
    trace: bool = False

    def flags(self, output: Path) -> list[str]:
        """The command line after the program's name; the trace goes beside `output`."""
        said = self.utterance
        return flags(
            {
                "model": self.model,
                "codec": self.codec,
                "tokenizer": self.tokenizer,
                "text": said.text,
                "output": output,
                "seed": np.int32(np.uint32(said.seed)),  # its flag is signed, and cast back
                "temperature": said.temperature,
                "max_new_tokens": said.max_new_tokens,
                "voice": said.voice,
                "streaming": said.streaming,
                "speaker": self.speaker,
                "trace_json": output.with_name(_TRACE) if self.trace else None,
            }
        )


@dataclass(frozen=True)
class RunnerResult(SpeechResult):
    """What came of an utterance, and its trace where one was asked for."""

    trace: Trace | None = None


_TRACE = "trace.json"

_GENERATED = re.compile(
    rb"(?:Generated|Streaming:) (\d+) frames \(([\d.e+-]+)s(?: audio)?\) in (\d+)ms"
)
_TITLE = b"Voxtral TTS"  # its first line, before it loads anything
_LOADED = b"Model loaded"
"""Its line after everything is loaded and warm."""

_WARMING, _WARM = b"Warming up", b"Warmup complete"
"""Its lines around the first calls of four methods, which load them."""


def run_runner(
    program: Path, args: RunnerArgs, *, frame_samples: int, timeout: float = 3600
) -> RunnerResult:
    """Run the runner once; after `timeout` seconds it counts as hung, and is killed.

    Frames, END_AUDIO and `generate_ms` are as it reports them. Before it speaks it opens
    `model.pte` once more, and the first call of each method loads that method again: its times
    hold this, and its log does not show how much it is. The first audio is measured from outside,
    from the load to the first chunk, or offline to the end. It dumps no codes when streaming.

    Raises
    ------
    UnavailableError
        There is no such program, it cannot be started, or it is another program.
    MachineError
        It died or hung, or its files are missing or damaged.
    ExecutionError
        It made no audio; its WAV or its codes have not as many frames as it reports; standard
        output holds something else than the samples, or the WAV other codes than theirs.
    """
    check_program(program)
    with tempfile.TemporaryDirectory(prefix="voxtral-runner-") as directory:
        wav, dump = Path(directory) / "output.wav", Path(directory) / "codes.txt"
        done = _run(program, args.flags(wav), dump, timeout)
        try:
            return _read(done, args, wav, dump, frame_samples)
        except HarnessError as error:
            error.add_note(_tail(done.err.text))
            raise


def check_program(program: Path) -> None:
    """Refuse a path at which nothing can be started, as an `UnavailableError`."""
    if not program.is_file():
        raise UnavailableError(
            f"there is no runner at {program}; `voxtral-parity runner-preset` says how to build it"
        )
    if not os.access(program, os.X_OK):
        raise _not_started(program, "it is not executable (chmod +x)")


def _not_started(program: Path, why: object) -> UnavailableError:
    return UnavailableError(f"the runner {program} cannot be started: {why}")


class _Reader(threading.Thread):
    """Reads a stream to its end, and notes when each piece came."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream, self._pieces = stream, list[tuple[float, bytes]]()
        self.start()

    def run(self) -> None:
        for line in self._stream:
            self._pieces.append((time.perf_counter(), line))

    @property
    def text(self) -> bytes:
        return b"".join(piece for _, piece in self._pieces)

    def first(self, words: bytes) -> float | None:
        """When the first line that holds `words` came."""
        return next((when for when, piece in self._pieces if words in piece), None)


@dataclass(frozen=True)
class _Ended:
    """A process that ended well: its output, and when it started and ended, in seconds."""

    out: _Reader
    err: _Reader
    started: float
    ended: float


def _run(program: Path, flags: list[str], dump: Path, timeout: float) -> _Ended:
    started = time.perf_counter()
    try:
        child = subprocess.Popen(
            [str(program.resolve()), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**DEFAULTS, **os.environ, DUMP_VARIABLE: str(dump)},
            start_new_session=True,
        )
    except OSError as error:
        raise _not_started(program, error.strerror) from None
    assert child.stdout is not None
    assert child.stderr is not None
    out, err = _Reader(child.stdout), _Reader(child.stderr)
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # its own children too
        child.wait()
        for reader in (out, err):
            reader.join(5)
    fault = _fault(program, code, timeout, out.text, err.text)
    if fault is not None:
        fault.add_note(_tail(err.text))
        raise fault
    return _Ended(out, err, started, time.perf_counter())


def _fault(
    program: Path, code: int | None, timeout: float, out: bytes, err: bytes
) -> HarnessError | None:
    """What is wrong with how a process ended; no code: it was killed after `timeout` seconds."""
    if code is None:
        return MachineError(
            f"the runner did not finish in {timeout:g} s and was killed: {_complaint(err)}"
        )
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    if _TITLE not in out + err:
        return UnavailableError(
            f"{program} is no voxtral_tts_runner: it ended with {how} and never printed "
            f"{_TITLE.decode()!r} ({_complaint(err)})"
        )
    return MachineError(f"the runner died with {how}: {_complaint(err)}") if code else None


def _read(
    done: _Ended, args: RunnerArgs, wav: Path, dump: Path, frame_samples: int
) -> RunnerResult:
    """What a run left, checked."""
    report = _GENERATED.search(done.err.text)
    if b"No audio frames generated" in done.err.text or report is None or not int(report[1]):
        raise ExecutionError(f"the runner made no audio: {_complaint(done.err.text)}")
    frames = int(report[1])
    streams = args.utterance.streaming or args.speaker
    try:
        pcm, rate = read_wav(wav)
        codes = None if streams else read_codes(dump)
        trace = read_trace(wav.with_name(_TRACE)) if args.trace else None
    except InputError as error:
        said = _complaint(done.err.text)
        raise MachineError(f"the runner ended with exit code 0, but {error} ({said})") from None
    if pcm.size != frames * frame_samples:
        raise ExecutionError(
            f"the runner reports {frames} frames, {frames * frame_samples:,} samples, and its "
            f"WAV holds {pcm.size:,}"
        )
    if codes is not None and codes.shape[1] != frames:
        raise ExecutionError(f"the runner reports {frames} frames and dumps {codes.shape[1]}")
    if codes is not None and trace is not None:
        told = trace.codes[: codes.shape[1]]
        if not np.array_equal(told, codes[0, : len(told)]):
            raise ExecutionError("the runner's trace and its dump of codes tell different codes")
    if args.speaker:
        _check_stdout(done.out.text, pcm)
    timing = _timing(done, args, report, pcm.size / rate)
    return RunnerResult(pcm, rate, codes, timing, trace)


def _timing(
    done: _Ended, args: RunnerArgs, report: re.Match[bytes], audio_seconds: float
) -> Timing:
    """Its figures, and how long its first calls took."""
    log = done.err if args.speaker else done.out
    loaded = log.first(_LOADED) or done.started
    begun, ended = done.err.first(_WARMING), done.err.first(_WARM)
    return Timing(
        frames=int(report[1]),
        ended=b"END_AUDIO at frame" in done.err.text,
        audio_seconds=audio_seconds,
        generate_ms=float(report[3]),
        first_audio_ms=((log.first(b"  Chunk:") or done.ended) - loaded) * 1e3,
        wall_ms=(done.ended - done.started) * 1e3,
        warm_up_ms=None if begun is None or ended is None else (ended - begun) * 1e3,
    )


def _check_stdout(data: bytes, pcm: NDArray[np.int16]) -> None:
    """Standard output must hold the samples of the WAV as float32, and nothing else."""
    if len(data) != pcm.size * 4:
        begins = data[:24].decode("ascii", "replace") if data[:1].isalpha() else ""
        raise ExecutionError(
            f"the runner put {len(data):,} bytes on stdout for {pcm.size:,} samples of 4 bytes"
            + (f"; they begin with {begins!r}" if begins else "")
        )
    fault = cast_fault(np.frombuffer(data, "<f4"), pcm)
    if fault:
        raise ExecutionError(f"the runner's WAV does not hold its samples on stdout: {fault}")


_QUOTED = 400
"""Characters of its log in a sentence, which has 560 in all."""

_LINES, _LINE = 30, 400


_ERROR = re.compile(r"E \d|F \d|ERROR|Failed ")
"""How its errors begin, in ExecuTorch's log and in its own; what it says last may be no error."""


def _complaint(text: bytes) -> str:
    """Its last line, and before that its last errors, whole as far as they fit.

    An error that does not fit is left out and not cut, since its end says what is wrong.
    """
    lines = text.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return "it printed nothing"
    found = [lines[-1][:_QUOTED]]
    for line in reversed([line for line in lines[:-1] if _ERROR.match(line)]):
        if sum(map(len, found)) + len(line) > _QUOTED:
            break
        found.insert(0, line)
    return " / ".join(found)


def _tail(text: bytes) -> str:
    """Its last lines, for whoever wants to read more than a sentence."""
    lines = text.decode("utf-8", "replace").strip().splitlines()[-_LINES:]
    return "\n".join(line[:_LINE] for line in lines)
