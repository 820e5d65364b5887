"""Voices: found by upstream's rules, read without running what a file says."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.checkpoint import Checkpoint, open_checkpoint
from harness.checkpoint.voice_file import write_voice
from harness.checkpoint.voices import load_voice, readable_voice
from harness.errors import CheckpointError, InputError
from harness.synthesis import Utterance


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


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [9, 12])
def test_a_raw_voice_of_either_type_is_readable(
    directory: Path, kind: torch.dtype, rows: int
) -> None:
    path = directory / "voice_embedding" / "raw.bin"
    values = torch.randn(rows, 256, generator=torch.Generator().manual_seed(1)).to(kind)
    path.write_bytes(values.view(torch.uint8).numpy().tobytes())
    assert readable_voice(open_checkpoint(directory), "raw") == path


@pytest.mark.parametrize("content", [b"", b"no rows of 256 numbers"])
def test_a_file_that_is_no_voice_is_refused_before_anything_is_made(
    tiny: Checkpoint, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "voice.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"voice\.bin must "):
        readable_voice(tiny, str(path))
    with pytest.raises(CheckpointError, match=r"voice\.bin must "):
        Utterance("Hello.", voice=str(path)).check(tiny, 128)


def test_a_folder_of_voices_that_cannot_be_listed_is_no_empty_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PermissionError, match="voice_embedding"):
        open_checkpoint(directory).find_voice(None)


def test_without_a_voice_there_is_nothing_to_read(directory: Path) -> None:
    shutil.rmtree(directory / "voice_embedding")
    assert readable_voice(open_checkpoint(directory), None) is None


def nested() -> torch.Tensor:
    return torch.nested.nested_tensor([torch.zeros(2, 256), torch.zeros(3, 256)])


def quantised() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.zeros(3, 256), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.zeros(3, 256).to_sparse(),
            r"asks for 'torch\._utils\._rebuild_sparse_tensor'",
        ),
        (
            lambda: torch.zeros(3, 256, device="meta"),
            r"asks for 'torch\._utils\._rebuild_meta_tensor",
        ),
        (quantised, r"asks for 'torch\._utils\._rebuild_qtensor'"),
        (nested, r"asks for 'torch\._utils\._rebuild_nested_tensor'"),
        (
            lambda: torch.nn.Parameter(torch.zeros(3, 256)),
            r"asks for 'torch\._utils\._rebuild_param",
        ),
        (lambda: torch.zeros(3, 256, dtype=torch.float64), r"asks for 'torch\.DoubleStorage'"),
        (lambda: torch.zeros(3, 256, dtype=torch.int32), r"asks for 'torch\.IntStorage'"),
        (lambda: torch.zeros(1, 1).expand(10**6, 256), "numbers, and at most 4,194,304 fit"),
        (
            lambda: torch.zeros(1, 256).expand(9, 256),
            r"not contiguous \(shape \(9, 256\), strides \(0, 1",
        ),
        (lambda: torch.zeros(256, 3).T, r"not contiguous \(shape \(3, 256\), strides \(1, 3"),
        (lambda: torch.zeros(17_000, 256), "4,352,000 numbers, and at most 4,194,304 fit"),
        (lambda: [torch.zeros(3, 256)], "it holds a list, not a bare tensor"),
        (lambda: {"a": 1}, "it holds a dict, not a bare tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_plain_tensor_is_one_sentence(
    directory: Path, make: Callable[[], Any], message: str
) -> None:
    path = directory / "voice_embedding" / "odd.pt"
    torch.save(make(), path)
    refused(directory, "odd", message)


def refused(directory: Path, voice: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_voice(open_checkpoint(directory), voice)
    assert f"{directory}/voice_embedding/{voice}" in str(caught.value)
    assert len(str(caught.value)) < 600


def rezip(path: Path, change: Callable[[str, bytes], bytes], compression: int = 0) -> None:
    """Write the archive at `path` again, with each entry's contents changed."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, contents in entries:
            archive.writestr(name, change(name, contents))


@pytest.mark.parametrize(
    ("change", "compression", "message"),
    [
        (lambda name, data: data, zipfile.ZIP_DEFLATED, "entry .* of its archive is compressed"),
        (
            lambda name, data: b"" if "data/0" in name else data,
            0,
            "needs 6,144 bytes and the archive",
        ),
        (lambda name, data: b"big" if "byteorder" in name else data, 0, "are not little-endian"),
        (lambda name, data: b"" if "pkl" in name else data, 0, "cannot be read: .*Error"),
        (lambda name, data: data[:-1] if "pkl" in name else data, 0, "cannot be read: "),
        # Memory that the unpickler in C would take: a memo of 2**31 entries.
        (
            lambda name, data: b"\x80\x02Nr\xff\xff\xff\x7f." if "pkl" in name else data,
            0,
            "NoneType",
        ),
        (lambda name, data: b"(" * 60_000 if "pkl" in name else data, 0, "cannot be read: "),
    ],
)
def test_a_damaged_archive_is_one_sentence(
    directory: Path, change: Callable[[str, bytes], bytes], compression: int, message: str
) -> None:
    rezip(directory / "voice_embedding" / "neutral_female.pt", change, compression)
    refused(directory, "neutral_female", message)


def test_a_zip_bomb_takes_no_memory(directory: Path) -> None:
    path = directory / "voice_embedding" / "odd.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("odd/data.pkl", bytes(64 << 20))
    tracemalloc.start()
    refused(directory, "odd", "is compressed")
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_text_is_no_voice(directory: Path) -> None:
    (directory / "voice_embedding" / "odd.pt").write_text("a voice")
    refused(directory, "odd", "it is not a zip archive")


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_a_huge_or_special_file_is_no_voice(directory: Path, suffix: str) -> None:
    path = directory / "voice_embedding" / f"odd{suffix}"
    with path.open("wb") as file:
        file.truncate(6 << 30)
    refused(directory, "odd", r"6,442,450,944 bytes, and at most")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="it is not a regular file"):
        load_voice(open_checkpoint(directory), str(path))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("rows", [slice(None), slice(2, 5)])
def test_a_voice_is_read_as_torch_reads_it(
    directory: Path, dtype: torch.dtype, rows: slice
) -> None:
    path = directory / "voice_embedding" / "odd.pt"
    torch.save(
        torch.randn(7, 256, generator=torch.Generator().manual_seed(1)).to(dtype)[rows], path
    )
    expected = torch.load(path, weights_only=True).float().numpy()
    assert np.array_equal(load_voice(open_checkpoint(directory), "odd"), expected)


def test_a_voice_needs_no_torch(tiny: Checkpoint) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from harness.checkpoint import open_checkpoint\n"
        "from harness.checkpoint.voices import load_voice\n"
        "import harness.synthesis, harness.synthesis.warmup\n"
        f"print(load_voice(open_checkpoint({str(tiny.directory)!r}), None).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "(12, 256)"


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
