"""Recognisers: Apple's, PocketSphinx, Whisper, or a command of the user's.

Each takes an audio file and gives a transcript. PocketSphinx carries its English model in its
package; Whisper fetches one on first use; Apple's comes with macOS.
"""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from harness.errors import InputError, MachineError, UnavailableError, one_of
from harness.synthesis.wav import read_audio

__all__ = ["Recogniser", "recogniser"]

Recogniser = Callable[[Path], str]
"""Takes the path of a mono WAV or FLAC file, gives what it heard."""

_SECONDS = 300
"""How long a recogniser may take."""


def recogniser(engine: str, command: str | None = None) -> Recogniser:
    """The recogniser called `engine`: apple, pocketsphinx, whisper or command.

    `command` is what the last one runs; the WAV's path takes the place of ``{}``, or comes last,
    and the standard output is the transcript.

    Raises
    ------
    InputError
        An unknown engine, or a command without the engine of that name, or the reverse.
    UnavailableError
        This machine does not have it.
    """
    if (engine == "command") != (command is not None):
        raise InputError("--asr command and --asr-command go together; give both or neither")
    engines: dict[str, Callable[[], Recogniser]] = {
        "apple": _apple,
        "pocketsphinx": _pocketsphinx,
        "whisper": _whisper,
        "command": partial(_command, command or ""),
    }
    one_of("asr", engine, engines)
    return engines[engine]()


def _pocketsphinx() -> Recogniser:
    if importlib.util.find_spec("pocketsphinx") is None:
        raise UnavailableError("PocketSphinx is not installed: pip install pocketsphinx")
    from pocketsphinx import Decoder

    def listen(path: Path) -> str:
        codes = _resampled(path)
        # A new one each time: it adapts to what it has heard, and so would the transcripts.
        decoder = Decoder(samprate=_SPHINX_RATE, loglevel="FATAL")
        decoder.start_utt()
        # It takes the first and last moments for the room's noise.
        still = np.zeros(round(_STILL_SECONDS * _SPHINX_RATE), np.int16)
        decoder.process_raw(np.concatenate([still, codes, still]).tobytes(), full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp()
        return heard.hypstr if heard else ""

    return listen


_SPHINX_RATE = 16000
_STILL_SECONDS = 0.3


def _resampled(path: Path) -> np.ndarray:
    """Codes at PocketSphinx's own rate."""
    from scipy.signal import resample_poly

    samples, rate = read_audio(path)
    if samples.dtype == np.int16 and rate == _SPHINX_RATE:
        return samples
    scale = 1 if samples.dtype == np.int16 else 32767
    divisor = int(np.gcd(rate, _SPHINX_RATE))
    made = resample_poly(samples.astype(np.float64), _SPHINX_RATE // divisor, rate // divisor)
    return np.clip(np.rint(made * scale), -32768, 32767).astype(np.int16)


def _whisper() -> Recogniser:
    if importlib.util.find_spec("mlx_whisper") is not None:
        from mlx_whisper import transcribe

        return lambda path: str(transcribe(str(path))["text"])
    if importlib.util.find_spec("whisper") is None:
        raise UnavailableError(
            "Whisper is not installed: pip install mlx-whisper (Apple Silicon) or openai-whisper"
        )
    import whisper

    model = whisper.load_model("base.en")
    return lambda path: str(model.transcribe(str(path), fp16=False)["text"])


_APPLE = """
import Foundation
import Speech

let file = URL(fileURLWithPath: CommandLine.arguments[1])
let listener = SFSpeechRecognizer(locale: Locale(identifier: "en-US"))
func stop(_ why: String) -> Never {
    FileHandle.standardError.write((why + "\\n").data(using: .utf8)!)
    exit(3)
}
SFSpeechRecognizer.requestAuthorization { granted in
    guard granted == .authorized, let listener = listener, listener.isAvailable else {
        stop("speech recognition is not allowed to this program, or not available")
    }
    let request = SFSpeechURLRecognitionRequest(url: file)
    request.requiresOnDeviceRecognition = listener.supportsOnDeviceRecognition
    request.shouldReportPartialResults = false
    listener.recognitionTask(with: request) { result, error in
        if let error = error {
            // 1110: no speech was found, which is an answer
            if (error as NSError).code == 1110 { exit(0) }
            stop(error.localizedDescription)
        }
        if let result = result, result.isFinal {
            print(result.bestTranscription.formattedString)
            exit(0)
        }
    }
}
RunLoop.main.run()
"""
"""Asks macOS what it hears in the file that it is given."""


def _apple() -> Recogniser:
    if sys.platform != "darwin":
        raise UnavailableError("Apple's recogniser needs macOS; elsewhere use --asr pocketsphinx")

    def listen(path: Path) -> str:
        return _run(["xcrun", "swift", "-", str(path.resolve())], "Apple's recogniser", _APPLE)

    return listen


def _command(command: str) -> Recogniser:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"--asr-command cannot be read ({error}): {command!r}") from None
    if not words:
        raise InputError("--asr-command is empty; name a program that prints a transcript")
    if "{}" not in command:
        words.append("{}")

    def listen(path: Path) -> str:
        return _run([word.replace("{}", str(path)) for word in words], f"{words[0]!r}")

    return listen


def _run(command: list[str], name: str, given: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=_SECONDS, errors="replace"
        )
    except FileNotFoundError:
        raise UnavailableError(f"{name} cannot listen: there is no program {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise MachineError(f"{name} did not finish listening in {_SECONDS} s") from None
    except OSError as error:
        raise UnavailableError(f"{name} cannot listen: {error.strerror}") from None
    if done.returncode:
        (*_, last) = ["it printed nothing", *done.stderr.strip().splitlines()]
        raise MachineError(f"{name} failed with exit code {done.returncode}: {last[:200]}")
    return done.stdout
