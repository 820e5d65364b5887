"""Voices: found by upstream's rules, read without running what a file says."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.checkpoint import Checkpoint, open_checkpoint
from harness.checkpoint.voice_file import write_voice
from harness.checkpoint.voices import load_voice
from harness.errors import CheckpointError, InputError


@pytest.mark.parametrize(("voice", "rows"), [("neutral_female", 12), ("casual_male", 9)])
def test_voices_are_float32_rows_of_the_models_width(
    tiny: Checkpoint, voice: str, rows: int
) -> None:
    embedding = load_voice(tiny, voice)
    assert embedding.dtype == np.float32
    assert embedding.shape == (rows, 256)
    assert 0.95 < float(embedding.std()) < 1.05


def test_torch_reads_a_written_voice(tmp_path: Path) -> None:
    bits = torch.arange(12).reshape(3, 4).bfloat16()
    write_voice(tmp_path / "v.pt", bits.view(torch.uint16).numpy())
    loaded = torch.load(tmp_path / "v.pt", weights_only=True)
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded, bits)


def test_voice_data_is_aligned_as_torch_aligns_it(tmp_path: Path) -> None:
    bits = np.full((3, 4), 0xABCD, np.uint16)
    write_voice(tmp_path / "v.pt", bits)
    assert (tmp_path / "v.pt").read_bytes().index(bits.tobytes()) % 64 == 0


def test_a_file_of_the_same_name_in_the_working_directory_is_not_read(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torch.zeros(3, 256), tmp_path / "neutral_female.pt")
    monkeypatch.chdir(tmp_path)
    assert load_voice(tiny, "neutral_female").shape == (12, 256)


def test_a_raw_voice_file_is_read_by_its_size(tiny: Checkpoint, directory: Path) -> None:
    rows = load_voice(tiny, "casual_male")
    raw = torch.from_numpy(rows).bfloat16().view(torch.int16).numpy().tobytes()
    (directory / "voice_embedding" / "raw.bin").write_bytes(raw)
    assert np.array_equal(load_voice(open_checkpoint(directory), "raw"), rows)


@pytest.mark.parametrize(
    ("shape", "got"),
    [((12, 128), r"\(12, 128\)"), ((256,), r"\(256,\)"), ((0, 256), r"\(0, 256\)")],
)
def test_a_voice_of_another_width_is_refused(
    directory: Path, shape: tuple[int, ...], got: str
) -> None:
    torch.save(torch.zeros(shape, dtype=torch.bfloat16), directory / "voice_embedding" / "odd.pt")
    with pytest.raises(
        CheckpointError, match=rf"odd\.pt must have shape \(rows, 256\) \(got {got}"
    ):
        load_voice(open_checkpoint(directory), "odd")


def test_a_voice_that_is_no_tensor_is_refused(directory: Path) -> None:
    torch.save({"rows": 3}, directory / "voice_embedding" / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt cannot be read"):
        load_voice(open_checkpoint(directory), "odd")


def test_a_voice_with_nan_is_refused(directory: Path) -> None:
    torch.save(torch.full((3, 256), float("nan")), directory / "voice_embedding" / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt holds NaN or infinite values"):
        load_voice(open_checkpoint(directory), "odd")


def test_a_hostile_pickle_does_not_run(directory: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (marker,))

    (directory / "voice_embedding" / "odd.pt").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(CheckpointError, match=r"odd\.pt cannot be read"):
        load_voice(open_checkpoint(directory), "odd")
    assert not marker.exists()


def test_a_truncated_voice_is_refused(directory: Path) -> None:
    path = directory / "voice_embedding" / "neutral_female.pt"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"neutral_female\.pt cannot be read"):
        load_voice(open_checkpoint(directory), "neutral_female")


def test_raw_float32_is_known_by_the_rows_of_the_tensor_beside_it(directory: Path) -> None:
    rows = load_voice(open_checkpoint(directory), "casual_male")
    path = directory / "voice_embedding" / "casual_male.bin"
    path.write_bytes(rows.astype("<f4").tobytes())
    assert np.array_equal(load_voice(open_checkpoint(directory), str(path)), rows)


def test_raw_float32_is_known_by_the_rows_that_the_model_names(directory: Path) -> None:
    rows = np.arange(7 * 256, dtype=np.float32).reshape(7, 256)
    (directory / "voice_embedding" / "raw.bin").write_bytes(rows.astype("<f4").tobytes())
    found = load_voice(open_checkpoint(directory), "raw", rows_hint=7)
    assert np.array_equal(found, rows)


def test_a_raw_voice_of_no_whole_rows_is_refused(directory: Path) -> None:
    (directory / "voice_embedding" / "raw.bin").write_bytes(bytes(513))
    with pytest.raises(CheckpointError, match=r"raw\.bin must be whole rows of 256 .* 513 bytes"):
        load_voice(open_checkpoint(directory), "raw")


def test_a_voice_may_be_a_path(tiny: Checkpoint, tmp_path: Path) -> None:
    write_voice(tmp_path / "mine.pt", np.full((3, 256), 0x3F80, np.uint16))
    assert np.array_equal(load_voice(tiny, str(tmp_path / "mine.pt")), np.ones((3, 256)))


def test_a_files_name_is_looked_for_among_the_voices(tiny: Checkpoint) -> None:
    assert load_voice(tiny, "elsewhere/casual_male.pt").shape == (9, 256)


def test_no_voice_is_the_default_one(tiny: Checkpoint) -> None:
    assert np.array_equal(load_voice(tiny, None), load_voice(tiny, "neutral_female"))


def test_without_the_default_voice_there_is_none(directory: Path) -> None:
    (directory / "voice_embedding" / "neutral_female.pt").unlink()
    assert load_voice(open_checkpoint(directory), None).shape == (0, 256)


@pytest.mark.parametrize("voice", ["nobody", "nobody.pt", "no/where.bin"])
def test_an_unknown_voice_is_refused(tiny: Checkpoint, voice: str) -> None:
    with pytest.raises(InputError, match="voice"):
        load_voice(tiny, voice)
