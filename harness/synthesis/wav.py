"""16-bit mono WAV files, byte for byte as upstream's runner writes them."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare import to_pcm16
from harness.errors import InputError
from harness.files import replace_file

__all__ = ["read_wav", "write_pcm", "write_wav"]


def write_wav(path: Path, samples: Array, sampling_rate: int) -> None:
    """Write a float waveform, full scale ±1, whole or not at all.

    Raises
    ------
    InputError
        The waveform holds NaN, or the file cannot be written.
    """
    write_pcm(path, to_pcm16(samples), sampling_rate)


def write_pcm(path: Path, codes: NDArray[np.int16], sampling_rate: int) -> None:
    """Write 16-bit codes, whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from scipy.io import wavfile

    try:
        with replace_file(path) as scratch:
            wavfile.write(scratch, sampling_rate, codes)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    """The codes of a 16-bit mono WAV file, shape (samples,), and its sampling rate in Hz.

    Raises
    ------
    InputError
        The file is missing, not a WAV, of another form, empty or shorter than it says.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            rate, codes = wavfile.read(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    # scipy stumbles over some damage before it has names for what it found.
    except (ValueError, NameError, ArithmeticError, struct.error, Warning) as error:
        raise InputError(
            f"{path.name} is no whole WAV file: {str(error).splitlines()[0]}"
        ) from error
    if codes.dtype != np.int16 or codes.ndim != 1:
        channels = codes.shape[1] if codes.ndim == 2 else 1
        raise InputError(
            f"{path.name} must be 16-bit mono (got {codes.dtype}, {channels} channels)"
        )
    if not codes.size:
        raise InputError(f"{path.name} holds no samples; whoever wrote it did not finish")
    return codes, int(rate)
