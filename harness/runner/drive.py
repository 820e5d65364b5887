"""Run upstream's runner on two artifacts, and believe only what can be checked."""

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

from harness.compare import to_pcm16
from harness.errors import ExecutionError, InputError, UnavailableError
from harness.synthesis.dump import DUMP_VARIABLE, read_codes
from harness.synthesis.wav import read_wav

__all__ = ["Figures", "Heard", "Order", "check_program", "run_runner"]


@dataclass(frozen=True)
class Order:
    """What the runner is told: its flags.

    `voice` is None for its default one; `temperature` 0 is greedy.
    """

    model: Path
    codec: Path
    tokenizer: Path
    text: str
    voice: str | None = None
    seed: int = 42
    temperature: float = 0.0
    max_new_tokens: int = 2048
    streaming: bool = False
    speaker: bool = False

    def flags(self, output: Path) -> list[str]:
        """The command line after the program's name."""
        told = {
            "model": self.model,
            "codec": self.codec,
            "tokenizer": self.tokenizer,
            "text": self.text,
            "output": output,
            "seed": np.int32(np.uint32(self.seed)),  # its flag is signed, and cast back
            "temperature": self.temperature,
            "max_new_tokens": self.max_new_tokens,
        }
        if self.voice is not None:
            told["voice"] = self.voice
        switches = [name for name in ("streaming", "speaker") if getattr(self, name)]
        return [*(f"--{name}={value}" for name, value in told.items()),
                *(f"--{name}" for name in switches)]  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """What the runner says of itself, and what was seen from outside.

    Attributes
    ----------
    frames, generate_ms
        As it reports them; streaming counts the codec in.
    load_ms
        As it reports it.
    first_audio_ms
        From "model loaded" to the first chunk, as seen; offline to the end.
    wall_ms
        Of the process.
    ended
        Whether it reported END_AUDIO.
    """

    frames: int
    generate_ms: float
    load_ms: float
    first_audio_ms: float
    wall_ms: float
    ended: bool


@dataclass(frozen=True)
class Heard:
    """What came of a run.

    Attributes
    ----------
    pcm
        Codes of its WAV, int16.
    sampling_rate
        In Hz.
    codes
        int64, shape (n_codebooks, frames); None when streaming, where it dumps none.
    figures
        Its own and ours.
    """

    pcm: NDArray[np.int16]
    sampling_rate: int
    codes: NDArray[np.int64] | None
    figures: Figures


_GENERATED = re.compile(
    rb"(?:Generated|Streaming:) (\d+) frames \(([\d.e+-]+)s(?: audio)?\) in (\d+)ms"
)
_LOADED = re.compile(rb"Model loaded in (\d+)ms")
_ENDED = b"END_AUDIO at frame"
_CHUNK = b"  Chunk:"


def run_runner(program: Path, order: Order, *, frame_samples: int, timeout: float = 3600) -> Heard:
    """Let the runner say something.

    Parameters
    ----------
    program
        The binary.
    order
        What to say, with what.
    frame_samples
        Samples of one frame.
    timeout
        Seconds after which it counts as hung, and is killed.

    Raises
    ------
    UnavailableError
        There is no such program, or it cannot be started.
    ExecutionError
        It crashed or hung; its WAV is missing, damaged, or not as long as the frames it
        reports; or standard output holds something else than the samples.
    """
    check_program(program)
    with tempfile.TemporaryDirectory(prefix="voxtral-runner-") as directory:
        wav, dump = Path(directory) / "output.wav", Path(directory) / "codes.txt"
        out, err, loaded, wall = _run(program, order.flags(wav), dump, timeout)
        spoken = _GENERATED.search(err.text)
        if b"No audio frames generated" in err.text or spoken is None:
            raise ExecutionError(f"the runner made no audio: {_last(err.text)}")
        frames = int(spoken[1])
        try:
            pcm, rate = read_wav(wav)
        except InputError as error:
            raise ExecutionError(f"the runner ended well and left no sound: {error}") from None
        if pcm.size != frames * frame_samples:
            raise ExecutionError(
                f"the runner reports {frames} frames, {frames * frame_samples:,} samples, and its "
                f"WAV holds {pcm.size:,}"
            )
        if order.speaker:
            _check_stdout(out.text, pcm)
        codes = _codes(dump, frames) if not (order.streaming or order.speaker) else None
    log = err if order.speaker else out
    first = log.first(_CHUNK) or wall
    load = _LOADED.search(log.text)
    figures = Figures(
        frames=frames,
        generate_ms=float(spoken[3]),
        load_ms=float(load[1]) if load else 0.0,
        first_audio_ms=(first - (log.first(b"Model loaded") or loaded)) * 1e3,
        wall_ms=(wall - loaded) * 1e3,
        ended=_ENDED in err.text,
    )
    return Heard(pcm, rate, codes, figures)


def check_program(program: Path) -> None:
    """Refuse a path at which nothing can be started.

    Raises
    ------
    UnavailableError
        There is no file, or one that is no program.
    """
    if not program.is_file():
        raise UnavailableError(
            f"there is no runner at {program}; `voxtral-parity runner-preset` says how to build it"
        )
    if not os.access(program, os.X_OK):
        raise UnavailableError(
            f"the runner {program} cannot be started: it is not executable (chmod +x)"
        )


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


def _run(
    program: Path, flags: list[str], dump: Path, timeout: float
) -> tuple[_Reader, _Reader, float, float]:
    started = time.perf_counter()
    try:
        child = subprocess.Popen(
            [str(program.resolve()), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, DUMP_VARIABLE: str(dump)},
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(
            f"the runner {program} cannot be started: {error.strerror}"
        ) from None
    assert child.stdout is not None
    assert child.stderr is not None
    readers = _Reader(child.stdout), _Reader(child.stderr)
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        raise ExecutionError(
            f"the runner did not finish in {timeout:g} s and was killed: {_last(readers[1].text)}"
        ) from None
    finally:
        _end(child)
        for reader in readers:
            reader.join(5)
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise ExecutionError(f"the runner crashed with {how}: {_last(readers[1].text)}")
    return (*readers, started, time.perf_counter())


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it, its own children too."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _check_stdout(data: bytes, pcm: NDArray[np.int16]) -> None:
    """Standard output must hold the samples of the WAV as float32, and nothing else."""
    if len(data) != pcm.size * 4:
        begins = data[:24].decode("ascii", "replace") if data[:1].isalpha() else ""
        raise ExecutionError(
            f"the runner put {len(data):,} bytes on stdout for {pcm.size:,} samples of 4 bytes"
            + (f"; they begin with {begins!r}" if begins else "")
        )
    samples = np.frombuffer(data, "<f4")
    if np.isnan(samples).any() or not np.array_equal(to_pcm16(samples), pcm):
        raise ExecutionError("the runner put other samples on stdout than in its WAV")


def _codes(dump: Path, frames: int) -> NDArray[np.int64]:
    try:
        codes = read_codes(dump)
    except InputError as error:
        raise ExecutionError(f"the runner's codes cannot be read: {error}") from None
    if codes.shape[1] != frames:
        raise ExecutionError(f"the runner reports {frames} frames and dumps {codes.shape[1]}")
    return codes


def _last(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
