"""Weights of a file as MLX arrays, each of them in memory once.

MLX cannot lend a mapped page: what it makes of one is a copy, and while it is made both are in
memory. A large tensor is therefore read past the mapping, straight into MLX's own memory. The
door to it is MLX's reader of ``.npy`` files, which takes anything that reads like a file; what it
is given here is a header made for the tensor, followed by the tensor's part of the `.pte`.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from harness.runtime.portable.blas import mx
from harness.runtime.portable.dtypes import ScalarType
from harness.runtime.portable.mapped_file import MappedFile
from harness.runtime.portable.plan import Span
from harness.runtime.portable.program import Program
from harness.runtime.portable.slots import to_mlx

__all__ = ["read_tensor"]

_LARGE = 1 << 20
"""Bytes from which on two copies are worth avoiding."""


def read_tensor(program: Program, where: Span, scalar: ScalarType, shape: tuple[int, ...]) -> Any:
    """The tensor that lies at `where` in one of a program's files.

    Parameters
    ----------
    where
        Exactly the tensor's bytes, in C order.
    """
    if where.size < _LARGE:
        with program.data(where) as data:
            return to_mlx(data, scalar, shape)
    narrow = scalar.name == "bfloat16"
    stored = np.dtype(np.uint16 if narrow else scalar.numpy)
    array = mx.load(_AsNpy(program.files[where.file], where, stored, shape), format="npy")
    mx.eval(array)
    return array.view(mx.bfloat16) if narrow else array


class _AsNpy(io.RawIOBase):
    """A part of a file in the form of a ``.npy`` file."""

    def __init__(
        self, file: MappedFile, where: Span, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        header = io.BytesIO()
        described = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, described)
        self._file, self._where = file, where
        self._header = header.getvalue()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = len(self._header) + self._where.size
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer).cast("B")
        header = self._header[self._position : self._position + len(wanted)]
        wanted[: len(header)] = header
        at = max(0, self._position - len(self._header))
        rest = wanted[len(header) : len(header) + self._where.size - at]
        count = len(header) + self._file.read_into(rest, self._where.offset + at)
        self._position += count
        return count
