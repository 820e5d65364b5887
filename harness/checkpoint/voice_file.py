"""Write a voice embedding as torch saves one, without torch.

``torch.save`` puts other bytes into its archive from version to version. A synthetic voice is
written here: a stored zip archive with a fixed date that holds the pickle of one bfloat16
tensor and its data, under the archive name that upstream's C++ runner looks for.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_voice"]

_ARCHIVE = "voice_embed"

# torch aligns tensor data to 64 bytes, by an extra field of the entry's header with this tag.
_ALIGNMENT, _PADDING_TAG, _LOCAL_HEADER = 64, b"FB", 30


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
    storage = (
        b"(" + _text("storage") + b"ctorch\nBFloat16Storage\n" + _text("0") + _text("cpu")
        + _int(rows * columns) + b"tQ"
    )  # fmt: skip
    size = _int(rows) + _int(columns) + b"\x86"
    stride = _int(columns) + _int(1) + b"\x86"
    no_hooks = b"ccollections\nOrderedDict\n)R"
    arguments = b"(" + storage + _int(0) + size + stride + b"\x89" + no_hooks + b"t"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R."


def _text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def _int(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)
