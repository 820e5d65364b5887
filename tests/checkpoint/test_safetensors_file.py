"""The safetensors header: what is written can be read, and what lies is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.checkpoint.safetensors_file import (
    non_finite_tensor,
    open_tensors,
    read_header,
    write_bfloat16,
)
from harness.errors import CheckpointError

ONE = 0x3F80
NAN, INFINITY = 0x7FC0, 0xFF80


def ones(_name: str, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint16]]:
    for _ in range(shape[0]):
        yield np.full(shape[1:], ONE, np.uint16)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    write_bfloat16(path, {"b": (2, 3), "a": (4,)}, ones)
    return path


def forge(path: Path, header: Any, data: int = 8) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    return path


def entry(begin: int, end: int, shape: list[int], dtype: str = "BF16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_the_safetensors_library_reads_what_is_written(written: Path) -> None:
    from safetensors import safe_open

    with safe_open(written, framework="pt") as file:
        assert sorted(file.keys()) == ["a", "b"]
        assert file.get_tensor("b").float().tolist() == [[1.0] * 3] * 2


def test_header_gives_types_shapes_and_places(written: Path) -> None:
    header = read_header(written)
    assert list(header) == ["a", "b"]
    assert (header["b"].dtype, header["b"].shape) == ("BF16", (2, 3))
    assert header["b"].end == written.stat().st_size
    assert header["b"].begin == header["a"].end


def test_data_starts_at_a_multiple_of_eight(written: Path) -> None:
    assert read_header(written)["a"].begin % 8 == 0


def test_metadata_is_no_tensor(tmp_path: Path) -> None:
    path = forge(tmp_path / "w", {"__metadata__": {"format": "pt"}, "a": entry(0, 8, [4])})
    assert list(read_header(path)) == ["a"]


def test_every_truncation_is_refused(written: Path, tmp_path: Path) -> None:
    whole = written.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_header(cut)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        ({"a": entry(0, 16, [8])}, "truncated: tensor 'a' ends at byte"),
        ({"a": entry(0, 8, [5])}, "needs 10 bytes"),
        ({"a": entry(0, 4, [2])}, "4 bytes after its last tensor"),
        ({"a": entry(0, 8, [4]), "b": entry(4, 8, [2])}, "tensor 'b' overlaps tensor 'a'"),
        ({"a": entry(4, 8, [2])}, "tensor 'a' leaves a gap after the header"),
        ({"a": entry(8, 0, [4])}, "needs 8 bytes"),
        ({"a": entry(0, 8, [-4])}, "entry of tensor 'a' is damaged"),
        ({"a": entry(0, 8, [4], "Q4")}, "entry of tensor 'a' is damaged"),
        ({"a": {**entry(0, 8, [4]), "dtype": ["BF16"]}}, "damaged: it must be a known dtype"),
        ({"a": {"dtype": "BF16"}}, "entry of tensor 'a' is damaged"),
        ({"a": entry(0, 8, [10**30])}, "entry of tensor 'a' is damaged"),
        ({"a": entry(0, 8, [2**61] * 20_000)}, "entry of tensor 'a' is damaged"),
        ({"a": entry(0, 8, [2**61] * 8)}, "needs an integer of 490 bits bytes"),
        ({"a" * 10**6: entry(0, 8, [5])}, "needs 10 bytes"),
        ({"a": "BF16"}, "entry of tensor 'a' is damaged"),
        ({"__metadata__": [1], "a": entry(0, 8, [4])}, "__metadata__ .* must map names to strings"),
        (b"\xef\xbb\xbf{}", "header is not JSON"),
        ("{}".encode("utf-16"), "header is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "header is not JSON"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, message: str) -> None:
    path = forge(tmp_path / "w", header)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes((1 << 62).to_bytes(8, "little") + bytes(64))
    with pytest.raises(CheckpointError, match=r"header would take 4611686018427387904 bytes"):
        read_header(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(tmp_path / "none.safetensors")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        read_header(tmp_path / "w")


def test_tensors_are_mapped_and_writing_to_one_leaves_the_file_alone(written: Path) -> None:
    tensors = open_tensors(written)
    assert tensors["b"].astype(np.float32).tolist() == [[1.0] * 3] * 2
    tensors["b"][:] = 0
    assert open_tensors(written)["b"].astype(np.float32).tolist() == [[1.0] * 3] * 2


def test_a_writer_that_makes_too_few_rows_fails(tmp_path: Path) -> None:
    def short(_name: str, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint16]]:
        yield np.zeros((shape[0] - 1, *shape[1:]), np.uint16)

    with pytest.raises(ValueError, match=r"a has 6 bytes for shape \(4,\)"):
        write_bfloat16(tmp_path / "w", {"a": (4,)}, short)


def test_finite_weights_have_no_non_finite_tensor(written: Path) -> None:
    assert non_finite_tensor(written) is None


@pytest.mark.parametrize("bits", [NAN, INFINITY])
def test_a_non_finite_value_is_found_and_named(written: Path, bits: int) -> None:
    place = read_header(written)["b"].begin + 2
    data = bytearray(written.read_bytes())
    data[place : place + 2] = bits.to_bytes(2, "little")
    written.write_bytes(data)
    assert non_finite_tensor(written) == ("b", 1)
