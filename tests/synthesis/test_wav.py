"""WAV files: upstream's bytes, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.synthesis.wav import read_wav, write_wav

SOUND = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -7.0, 0.99999], np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_wav(tmp_path / "a.wav", SOUND, 24000)
    return tmp_path / "a.wav"


def test_the_bytes_are_upstreams(file: Path) -> None:
    # header of wav_writer.cpp: RIFF, 36 + data, WAVE, fmt of 16: PCM, mono, rate, bytes, 2, 16
    assert file.read_bytes() == bytes.fromhex(
        "52494646 34000000 57415645 666d7420 10000000 0100 0100 c05d0000 80bb0000 0200 1000"
        "64617461 10000000 0000 ff3f 01c0 ff7f 0180 ff7f 0180 fe7f"
    )


def test_what_was_written_is_read(file: Path) -> None:
    codes, rate = read_wav(file)
    assert rate == 24000
    assert codes.tolist() == [0, 16383, -16383, 32767, -32767, 32767, -32767, 32766]


def test_nan_is_no_sound_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN has no 16-bit form"):
        write_wav(tmp_path / "b.wav", np.array([0, np.nan], np.float32), 24000)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*b\.wav"):
        write_wav(tmp_path / "file" / "b.wav", SOUND, 24000)


@pytest.mark.parametrize("kept", [0, 3, 12, 30, 44, 46, 51])
def test_a_truncated_file_is_refused(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.wav"):
        read_wav(file)


def test_a_header_that_was_never_finished_is_refused(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[4:8] = raw[40:44] = bytes(4)
    file.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.wav"):
        read_wav(file)


def test_garbage_is_refused(file: Path) -> None:
    file.write_bytes(b"Voxtral TTS\n" * 20)
    with pytest.raises(InputError, match=r"a\.wav is no whole WAV file"):
        read_wav(file)


def test_stereo_and_floats_are_refused(tmp_path: Path) -> None:
    from scipy.io import wavfile

    wavfile.write(tmp_path / "s.wav", 24000, np.zeros((4, 2), np.int16))
    wavfile.write(tmp_path / "f.wav", 24000, SOUND)
    with pytest.raises(InputError, match=r"must be 16-bit mono \(got int16, 2 channels\)"):
        read_wav(tmp_path / "s.wav")
    with pytest.raises(InputError, match=r"must be 16-bit mono \(got float32, 1 channels\)"):
        read_wav(tmp_path / "f.wav")


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a file"):
        write_wav(Path("/dev/null"), SOUND, 24000)
    with pytest.raises(InputError, match="not a file"):
        write_wav(tmp_path, SOUND, 24000)
