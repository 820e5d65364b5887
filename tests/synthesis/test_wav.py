"""Audio files: upstream's bytes, every form that is read, and damage."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harness.errors import InputError
from harness.synthesis.wav import Subtype, read_audio, read_wav, write_audio

SOUND = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -7.0, 0.99999], np.float32)
CODES = [0, 16383, -16383, 32767, -32767, 32767, -32767, 32766]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_audio(tmp_path / "a.wav", SOUND, 24000)
    return tmp_path / "a.wav"


def test_the_bytes_are_upstreams(file: Path) -> None:
    # header of wav_writer.cpp: RIFF, 36 + data, WAVE, fmt of 16: PCM, mono, rate, bytes, 2, 16
    assert file.read_bytes() == bytes.fromhex(
        "52494646 34000000 57415645 666d7420 10000000 0100 0100 c05d0000 80bb0000 0200 1000"
        "64617461 10000000 0000 ff3f 01c0 ff7f 0180 ff7f 0180 fe7f"
    )


@pytest.mark.parametrize("name", ["b.wav", "b.flac", "b.FLAC", "speech"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / name, SOUND, 24000)
    codes, rate = read_wav(tmp_path / name)
    assert (rate, codes.dtype, codes.tolist()) == (24000, np.int16, CODES)
    assert soundfile.info(tmp_path / name).format == ("FLAC" if "flac" in name.lower() else "WAV")
    write_audio(tmp_path / name, codes, 24000)
    assert read_wav(tmp_path / name)[0].tolist() == CODES


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [("b.wav", "PCM_24", 2**-23), ("b.flac", "PCM_24", 2**-23), ("b.wav", "FLOAT", 0)],
)
def test_24_bits_and_floats_are_read_as_floats(
    tmp_path: Path, name: str, subtype: Subtype, step: float
) -> None:
    write_audio(tmp_path / name, SOUND[:3] * 0.3, 24000, subtype=subtype)
    samples, rate = read_audio(tmp_path / name)
    assert (rate, samples.dtype) == (24000, np.float64)
    np.testing.assert_allclose(samples, SOUND[:3] * np.float32(0.3), atol=step)
    with pytest.raises(InputError, match=r"must be 16-bit mono; convert it \(sox"):
        read_wav(tmp_path / name)


def test_flac_holds_no_floats(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="FLAC holds no FLOAT samples; name it"):
        write_audio(tmp_path / "b.flac", SOUND, 24000, subtype="FLOAT")


def test_nan_is_no_sound_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN has no 16-bit form"):
        write_audio(tmp_path / "b.wav", np.array([0, np.nan], np.float32), 24000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_file_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    soundfile.write(tmp_path / "n.wav", np.array([0.0, value]), 24000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"n\.wav holds (nan|-inf) at sample 1"):
        read_audio(tmp_path / "n.wav")


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*b\.wav"):
        write_audio(tmp_path / "file" / "b.wav", SOUND, 24000)


@pytest.mark.parametrize("kept", [0, 3, 12, 30, 44, 46, 51])
def test_a_truncated_file_is_refused(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.wav"):
        read_wav(file)


def test_a_truncated_flac_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write_audio(path, np.random.default_rng(3).uniform(-1, 1, 20000), 24000)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"a\.flac is no whole WAV or FLAC file"):
        read_wav(path)


def header(**changes: int) -> bytes:
    """A 16-bit mono file of four samples whose header says something else."""
    told = {"riff": 44, "format": 1, "channels": 1, "rate": 24000, "pace": 48000, "block": 2,
            "bits": 16, "data": 8, **changes}  # fmt: skip
    return (
        struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", told["riff"], b"WAVEfmt ", 16, told["format"],
                    told["channels"], told["rate"], told["pace"], told["block"], told["bits"],
                    b"data", told["data"]) + bytes(8)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": 2**31}, "says 2,147,483,648 bytes of b'data', and 8 are there"),
        ({"riff": 2**31 + 36, "data": 2**31}, "says 2,147,483,692 bytes, and the file has 52"),
        ({"riff": 0, "data": 0}, "never finished"),
        ({"data": 7}, "half a sample at its end"),
        ({"bits": 17}, "says 17 bits of 1 channels at 24000 Hz in 2 bytes a sample"),
        ({"bits": 12}, "says 12 bits"),
        ({"pace": 51000}, "and 51000 a second"),
        ({"block": 0}, "in 0 bytes a sample"),
        ({"rate": 0, "pace": 0}, "no whole WAV or FLAC"),
        ({"data": 0, "riff": 36}, "holds no samples"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, changes: dict[str, int], sentence: str
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(header())
    assert read_wav(path)[0].tolist() == [0] * 4
    path.write_bytes(header(**changes))
    with pytest.raises(InputError, match=sentence):
        read_wav(path)


@pytest.mark.parametrize("name", ["a.wav", "a.raw", "a.flac"])
def test_garbage_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"Voxtral TTS\n" * 20)
    with pytest.raises(InputError, match=r"a\.\w+ is no whole WAV or FLAC file"):
        read_wav(tmp_path / name)


def test_another_form_is_refused_with_what_to_do(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros((4, 2)), 24000, subtype="PCM_16")
    soundfile.write(tmp_path / "a.aiff", np.zeros(4), 24000)
    soundfile.write(tmp_path / "u.wav", np.zeros(4), 24000, subtype="ULAW")
    with pytest.raises(InputError, match=r"must be mono \(got 2 channels\); mix it down \(sox"):
        read_wav(tmp_path / "s.wav")
    for name in ("a.aiff", "u.wav"):
        with pytest.raises(InputError, match="must be WAV or FLAC of 16, 24 or 32 bits or float"):
            read_wav(tmp_path / name)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.wav", Path("/dev/zero"), tmp_path / ("n" * 300)):
        with pytest.raises(InputError, match="cannot be read"):
            read_audio(path)


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a file"):
        write_audio(Path("/dev/null"), SOUND, 24000)
    with pytest.raises(InputError, match="not a file"):
        write_audio(tmp_path, SOUND, 24000)
