"""Mono audio files: WAV and FLAC, by libsndfile; 16-bit WAV byte for byte as upstream writes it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare import to_pcm16
from harness.errors import InputError
from harness.files import read_file, replace_file

__all__ = ["Subtype", "read_audio", "read_wav", "write_audio"]

Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]
"""How a sample is stored, in libsndfile's words."""

_READ = {"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
_MAX_BYTES, _MAX_SAMPLES = 1 << 30, 1 << 27
"""1.5 hours at 24 kHz: the longest speech has a thirtieth of that."""


def write_audio(
    path: Path, samples: Array, sampling_rate: int, *, subtype: Subtype = "PCM_16"
) -> None:
    """Write a mono waveform, whole or not at all: FLAC if the name ends so, otherwise WAV.

    Parameters
    ----------
    path
        The file.
    samples
        Shape (samples,): float with full scale ±1, or int16 codes.
    sampling_rate
        In Hz.
    subtype
        16-bit codes are rounded and clipped as upstream's runner does (`to_pcm16`).

    Raises
    ------
    InputError
        The waveform holds NaN, FLAC is to hold floats, or there is a device or a directory.
    MachineError
        The file cannot be written.
    """
    import soundfile

    form = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
    if not soundfile.check_format(form, subtype):
        raise InputError(f"cannot write {path}: {form} holds no {subtype} samples; name it .wav")
    codes = samples if samples.dtype == np.int16 else to_pcm16(samples)
    if subtype != "PCM_16":
        codes = samples / 32767 if samples.dtype == np.int16 else samples
    made = io.BytesIO()  # a full disk is then an error of ours, not one of libsndfile's
    soundfile.write(made, codes, sampling_rate, subtype=subtype, format=form)
    with replace_file(path) as scratch:
        scratch.write_bytes(made.getvalue())


def read_audio(path: Path) -> tuple[NDArray[Any], int]:
    """Samples of a mono WAV or FLAC file, and its sampling rate in Hz.

    Returns
    -------
    samples, sampling_rate
        Shape (samples,): int16 codes of a 16-bit file, of others float64 with full scale ±1.

    Raises
    ------
    InputError
        The file is missing, of another form, not mono, empty, not finite, shorter than it says,
        or its header contradicts itself.
    """
    import soundfile

    data = read_file(path, "sound", limit=_MAX_BYTES)
    fault = _header_fault(data)
    if fault:
        raise InputError(f"{path.name} is no whole WAV file: {fault}")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            _check_form(sound, path.name)
            samples = sound.read(dtype="int16" if sound.subtype == "PCM_16" else "float64")
            expected, rate = sound.frames, sound.samplerate
    except soundfile.LibsndfileError as error:
        what = error.error_string
        raise InputError(f"{path.name} is no whole WAV or FLAC file: {what}") from error
    if len(samples) != expected:
        raise InputError(f"{path.name} holds {len(samples):,} of the {expected:,} samples it says")
    if not samples.size:
        raise InputError(f"{path.name} holds no samples; the program that wrote it did not finish")
    if not np.isfinite(samples).all():
        first = int((~np.isfinite(samples)).argmax())
        raise InputError(f"{path.name} holds {samples[first]} at sample {first}")
    return samples, int(rate)


def read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    """As `read_audio`, of a file that must be of 16 bits: the codes, and the rate in Hz."""
    samples, rate = read_audio(path)
    if samples.dtype != np.int16:
        raise InputError(
            f"{path.name} must be 16-bit mono; convert it (sox FILE -b 16 -c 1 OUTPUT.wav)"
        )
    return samples, rate


def _check_form(sound: Any, name: str) -> None:
    if sound.format not in ("WAV", "WAVEX", "FLAC") or sound.subtype not in _READ:
        raise InputError(
            f"{name} must be WAV or FLAC of 16, 24 or 32 bits or float "
            f"(got {sound.format}, {sound.subtype}); convert it (sox FILE -b 16 OUTPUT.wav)"
        )
    if sound.channels != 1:
        raise InputError(
            f"{name} must be mono (got {sound.channels} channels); mix it down "
            "(sox FILE -c 1 OUTPUT.wav)"
        )
    if sound.frames > _MAX_SAMPLES:
        raise InputError(f"{name} must have at most {_MAX_SAMPLES:,} samples")


def _header_fault(data: bytes) -> str:
    """What is wrong with a WAV file's header, which libsndfile would correct without a word."""
    if data[:4] != b"RIFF":
        return ""
    end, at, block = 8 + int.from_bytes(data[4:8], "little"), 12, 0
    if end > len(data):
        return f"its header says {end:,} bytes, and the file has {len(data):,}"
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, at)
        at += 8
        if at + length > end:
            return f"its header says {length:,} bytes of {name!r}, and {end - at:,} are there"
        if name == b"fmt " and length >= 16:
            _, channels, rate, pace, block, bits = struct.unpack_from("<HHIIHH", data, at)
            if not block or bits % 8 or block * 8 != bits * channels or pace != rate * block:
                return (
                    f"its header says {bits} bits of {channels} channels at {rate} Hz in "
                    f"{block} bytes a sample and {pace} a second"
                )
        if name == b"data":
            return f"half a sample at its end ({length:,} bytes)" if length % (block or 1) else ""
        at += length + length % 2
    return "it has no samples, or its header was never finished"
