"""Read and write a voice embedding as torch saves one, without torch.

Such a file is a stored zip archive: ``NAME/data.pkl`` is the pickle of one tensor, and
``NAME/data/0`` holds its numbers. What is read is checked before memory is taken for it, and of
the pickle nothing runs but what builds a tensor. ``torch.save`` puts other bytes into its archive
from version to version; a synthetic voice has the same ones everywhere, under the archive name
that upstream's C++ runner looks for.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from harness.errors import CheckpointError, brief, in_a_sentence
from harness.files import open_file

__all__ = ["RUNNER_FOLDERS", "VoiceForm", "read_voice", "voice_form", "write_voice"]

_ARCHIVE = "voice_embed"

# torch aligns tensor data to 64 bytes, by an extra field of the entry's header with this tag.
_ALIGNMENT, _PADDING_TAG, _LOCAL_HEADER = 64, b"FB", 30

_MAX_PICKLE = 1 << 16
"""Bytes of the pickle; a tensor's takes some 200."""

_MAX_ENTRIES = 1000

_MAX_OVERHEAD = 1 << 20
"""Bytes of an archive beside its numbers."""

_STORAGES = {
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
}


class _Storage(NamedTuple):
    dtype: np.dtype[Any]
    key: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_voice(path: Path, max_numbers: int) -> NDArray[np.float32]:
    """The tensor in the `.pt` file at `path`, as float32, of whatever shape it has.

    Raises `CheckpointError` where the file is no regular file, damaged or of another form, or does
    not hold one contiguous tensor of up to `max_numbers` bfloat16, float16 or float32 numbers.
    """
    with open_file(path, "voice", CheckpointError) as file:
        try:
            tensor, data = _read(file, max_numbers)
        # A damaged archive or pickle ends in almost any exception of zipfile's or pickle's.
        except Exception as error:
            raise CheckpointError(f"voice {path} cannot be read: {in_a_sentence(error)}") from error
    return np.frombuffer(data, tensor.storage.dtype).astype(np.float32).reshape(tensor.size)


RUNNER_FOLDERS = (_ARCHIVE, "archive", "")
"""Names of an archive, the folder around its entries, that upstream's C++ runner knows."""


class VoiceForm(NamedTuple):
    """How a `.pt` file holds its numbers.

    `folder` is that of its archive, `key` the entry's name, `dtype` the numbers' type, and `spare`
    counts the entry's bytes that are not the tensor's.
    """

    folder: str
    key: str
    dtype: str
    spare: int


def voice_form(path: Path, max_numbers: int) -> VoiceForm:
    """The form of the `.pt` file at `path`; raises `CheckpointError` as `read_voice` does."""
    with open_file(path, "voice", CheckpointError) as file:
        try:
            tensor, data = _read(file, max_numbers)
            with zipfile.ZipFile(file) as archive:
                (pickled,) = (n for n in archive.namelist() if n.endswith("data.pkl"))
                folder = pickled.removesuffix("data.pkl")
                size = archive.getinfo(f"{folder}data/{tensor.storage.key}").file_size
        except Exception as error:
            raise CheckpointError(f"voice {path} cannot be read: {in_a_sentence(error)}") from error
    storage = tensor.storage
    return VoiceForm(folder.rstrip("/"), storage.key, storage.dtype.name, size - len(data))


def _read(file: BinaryIO, max_numbers: int) -> tuple[_Tensor, bytes]:
    size = file.seek(0, 2)
    if size > 4 * max_numbers + _MAX_OVERHEAD:
        raise CheckpointError(f"it has {size:,} bytes, and at most {max_numbers:,} numbers fit")
    if not zipfile.is_zipfile(file):
        raise CheckpointError("it is not a zip archive, as torch.save writes one")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > _MAX_ENTRIES:
            raise CheckpointError(f"its archive has {len(entries):,} entries")
        pickles = [entry.filename for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"its archive holds {len(pickles)} pickles (data.pkl), not one")
        folder = pickles[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and _stored(archive, order, 16).strip() != b"little":
            raise CheckpointError("its numbers are not little-endian")
        tensor = _Unpickler(io.BytesIO(_stored(archive, pickles[0], _MAX_PICKLE))).load()
        if not isinstance(tensor, _Tensor):
            raise CheckpointError(f"it holds a {type(tensor).__name__}, not a bare tensor")
        return tensor, _numbers(archive, folder, tensor, max_numbers)


def _numbers(archive: zipfile.ZipFile, folder: str, tensor: _Tensor, max_numbers: int) -> bytes:
    sizes = (*tensor.size, tensor.offset)
    if len(tensor.size) > 8 or not all(type(n) is int and 0 <= n < 2**40 for n in sizes):
        raise CheckpointError(f"its shape is {brief(tensor.size)}")
    count = math.prod(tensor.size)
    if count > max_numbers:
        raise CheckpointError(f"it has {count:,} numbers, and at most {max_numbers:,} fit")
    contiguous = tuple(math.prod(tensor.size[axis + 1 :]) for axis in range(len(tensor.size)))
    axes = zip(tensor.size, tensor.stride, contiguous, strict=True)
    # The stride of an axis of length 1 means nothing.
    if any(length != 1 and got != expected for length, got, expected in axes):
        raise CheckpointError(
            f"its tensor is not contiguous (shape {tensor.size}, strides {brief(tensor.stride)}); "
            "save tensor.contiguous()"
        )
    size = tensor.storage.dtype.itemsize
    start = tensor.offset * size
    data = _stored(archive, f"{folder}data/{tensor.storage.key}", start + count * size)
    if len(data) < start + count * size:
        raise CheckpointError(
            f"its tensor needs {start + count * size:,} bytes and the archive holds {len(data):,}"
        )
    return data[start:]


def _stored(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Up to `limit` bytes of an entry, which torch never compresses."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"entry {brief(name)} of its archive is compressed")
    with archive.open(info) as entry:
        return entry.read(limit)


def _rebuild_tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_rest: Any
) -> _Tensor:
    if not (isinstance(storage, _Storage) and type(size) is type(stride) is tuple):
        raise CheckpointError("its tensor is not built of a storage, a shape and strides")
    return _Tensor(storage, offset, size, stride)


# The unpickler in Python: of the one in C, a pickle of some bytes can ask for gigabytes.
class _Unpickler(pickle._Unpickler):
    """Knows what builds a tensor, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict  # the tensor's backward hooks, which are none
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise CheckpointError(
            f"it asks for {brief(f'{module}.{name}')}; a voice is one contiguous tensor of "
            "bfloat16, float16 or float32 numbers"
        )

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", np.dtype() as dtype, str() as key, str(), int()):
                return _Storage(dtype, key)
        raise CheckpointError(f"its storage is {brief(pid)}")


def write_voice(path: Path, bits: NDArray[np.uint16]) -> None:
    """Write the bfloat16 `bits`, shape (rows, dim), as a `.pt` file.

    ``torch.load(path, weights_only=True)`` returns the bfloat16 tensor of that shape.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _tensor_pickle(*bits.shape))
        _add(archive, "byteorder", b"little")
        _add(archive, "data/0", bits.astype("<u2", copy=False).tobytes())
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(f"{_ARCHIVE}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # otherwise the writing platform's own number
    info.external_attr = 0o644 << 16
    assert archive.fp is not None
    start = archive.fp.tell() + _LOCAL_HEADER + len(info.filename) + 4
    padding = -start % _ALIGNMENT
    info.extra = _PADDING_TAG + padding.to_bytes(2, "little") + b"Z" * padding
    archive.writestr(info, data)


def _tensor_pickle(rows: int, columns: int) -> bytes:
    """Pickle (protocol 2) of a contiguous bfloat16 tensor whose data is the entry ``data/0``.

    It calls ``_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)``; the
    storage is a persistent id ``("storage", type, key, device, elements)``.
    """
    numbers = (rows * columns, 0, rows, columns, columns, 1)
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        b"BFloat16Storage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ%btQJ%bJ%bJ%b\x86J%bJ%b\x86\x89"
        b"ccollections\nOrderedDict\n)RtR."
    ) % tuple(value.to_bytes(4, "little") for value in numbers)
