"""Read the header of a safetensors file without trust, and write one as a stream.

Form: 8 bytes little-endian header length N; N bytes of JSON
``{name: {"dtype", "shape", "data_offsets": [begin, end]}}`` with an optional ``__metadata__``;
then the data, to which the offsets are relative.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.errors import CheckpointError, brief, in_a_sentence
from harness.files import open_file

__all__ = ["TensorEntry", "non_finite_tensor", "open_tensors", "read_header", "write_bfloat16"]

# 386 tensors take 50 kB.
_MAX_HEADER = 1 << 24

_RUN = 1 << 22
"""Bytes read at a time."""

_MAX_AXES = 8

_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2,
    "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip

_NUMPY = {
    "I8": np.dtype(np.int8),
    "F32": np.dtype("<f4"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
"""Of the types that the harness writes or reads."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file: element type, shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Entries of the safetensors file at `path`, checked against its length.

    Raises `CheckpointError` if the file is missing, irregular or truncated, or its header is too
    long, no JSON, or claims bytes outside the file, too many or few, or of two tensors.
    """
    with open_file(path, "weights", CheckpointError) as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > min(size - 8, _MAX_HEADER):
            raise CheckpointError(
                f"{path} is no whole safetensors file: its header would take {length} bytes, and "
                f"the file has {size}; fetch it again"
            )
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is not JSON ({in_a_sentence(error)})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{path}: __metadata__ of its header must map names to strings")
    start = 8 + length
    entries = {name: _entry(path, name, item, start) for name, item in header.items()}
    _check_layout(path, entries, start, size)
    return entries


def open_tensors(path: Path) -> dict[str, Array]:
    """The tensors of a file by their names, each mapped by itself; what is written stays private.

    Each has a mapping of its own, which goes with it; the pages of one mapping of the whole file
    would count as memory until the last is gone. Raises `CheckpointError` as `read_header` does, or
    where a tensor is of a type that numpy has not.
    """
    entries = read_header(path)
    odd = [entry.dtype for entry in entries.values() if entry.dtype not in _NUMPY]
    if odd:
        raise CheckpointError(f"{path} holds tensors of type {odd[0]}, which cannot be read")
    return {
        name: np.memmap(path, _NUMPY[entry.dtype], "c", entry.begin, entry.shape)
        for name, entry in entries.items()
    }


def _entry(path: Path, name: str, item: Any, start: int) -> TensorEntry:
    match item:
        case {"dtype": str() as dtype, "shape": [*shape], "data_offsets": [begin, end]} if (
            dtype in _BYTES
            and len(shape) <= _MAX_AXES
            and all(type(number) is int and 0 <= number < 2**62 for number in (*shape, begin, end))
        ):
            need = math.prod(shape) * _BYTES[dtype]
        case _:
            raise CheckpointError(
                f"{path}: the entry of tensor {brief(name)} is damaged: it must be a known dtype, "
                f"a shape of up to {_MAX_AXES} sizes and two data_offsets (got {brief(item)})"
            )
    if end - begin != need:
        raise CheckpointError(
            f"{path}: tensor {brief(name)} of shape {brief(tuple(shape))} and type {dtype} needs "
            f"{brief(need)} bytes (its entry has {end - begin})"
        )
    return TensorEntry(dtype, tuple(shape), start + begin, start + end)


def _check_layout(path: Path, entries: Mapping[str, TensorEntry], start: int, size: int) -> None:
    """Tensors follow one another without gap or overlap, and fill the file."""
    position, previous = start, "the header"
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            fault = "overlaps" if entry.begin < position else "leaves a gap after"
            raise CheckpointError(f"{path}: tensor {brief(name)} {fault} {previous}")
        if entry.end > size:
            raise CheckpointError(
                f"{path} is truncated: tensor {brief(name)} ends at byte {entry.end}, and the file "
                f"has {size}; fetch it again"
            )
        position, previous = entry.end, f"tensor {brief(name)}"
    if position != size:
        raise CheckpointError(
            f"{path} has {size - position} bytes after its last tensor that no entry claims"
        )


def write_bfloat16(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    bits: Callable[[str, tuple[int, ...]], Iterator[NDArray[np.uint16]]],
) -> None:
    """Write bfloat16 tensors in the order of their names, holding one run a core at a time.

    `bits` makes the bits of a tensor from its name and shape, as consecutive runs; it is called
    from several threads at once.
    """
    header: dict[str, Any] = {}
    offset = 0
    for name in sorted(shapes):
        span = [offset, offset + 2 * math.prod(shapes[name])]
        header[name] = {"dtype": "BF16", "shape": list(shapes[name]), "data_offsets": span}
        offset = span[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned, as the format asks
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)

    def write(name: str) -> None:
        begin, end = (8 + len(text) + at for at in header[name]["data_offsets"])
        with path.open("r+b") as file:
            file.seek(begin)
            for run in bits(name, shapes[name]):
                file.write(run.astype("<u2", copy=False).tobytes())
            if file.tell() != end:
                raise ValueError(f"{name} has {file.tell() - begin} bytes for shape {shapes[name]}")

    # The largest first, so that none is left for one thread at the end.
    names = sorted(shapes, key=lambda name: math.prod(shapes[name]), reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            deque(pool.map(write, names), maxlen=0)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def non_finite_tensor(path: Path) -> tuple[str, int] | None:
    """First bfloat16 tensor of a checked file that holds NaN or infinity, and how many."""
    # Read, not mapped: 8 GB of mapped pages would count as this process's memory.
    with path.open("rb") as file:
        for name, entry in sorted(read_header(path).items()):
            if entry.dtype != "BF16":
                continue
            file.seek(entry.begin)
            count = 0
            for start in range(entry.begin, entry.end, _RUN):
                bits = np.frombuffer(file.read(min(_RUN, entry.end - start)), "<u2")
                count += int(np.count_nonzero((bits & 0x7F80) == 0x7F80))
            if count:
                return name, count
    return None
