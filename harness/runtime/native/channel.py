"""Messages between the parent and the child: a JSON header, then raw array bytes.

Layout of one message::

    0   u32  length of the header, little-endian
    4   …    header, JSON (UTF-8): the sender's fields and "arrays": [{"dtype", "shape"}, …]
    …        the arrays' elements in C order, native byte order, one after another
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes  # noqa: F401 - registers "bfloat16" as a numpy type name
import numpy as np

from harness.arrays import Array

__all__ = ["Channel"]

_LENGTH = struct.Struct("<I")
# One sendall of a 4 MB hidden state costs 512 wake-ups with macOS's default of 8 KiB.
_SOCKET_BUFFER = 1 << 20


class Channel:
    """One end of a connected stream socket."""

    def __init__(self, end: socket.socket) -> None:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
        self._end = end

    def send(
        self, fields: Mapping[str, Any], arrays: Sequence[Array] = (), deadline: float | None = None
    ) -> None:
        """Send JSON-able `fields` and `arrays`."""
        # numpy's name of a text type ("str96") does not read back.
        described = [
            {"dtype": a.dtype.str if a.dtype.kind == "U" else a.dtype.name, "shape": a.shape}
            for a in arrays
        ]
        header = json.dumps({**fields, "arrays": described}).encode()
        raw: list[Any] = [np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in arrays]
        for part in (_LENGTH.pack(len(header)) + header, *raw):
            self._limit(deadline)
            self._end.sendall(part)

    def receive(self, *, deadline: float | None = None) -> tuple[dict[str, Any], list[Array]]:
        """Receive the fields and arrays of one message; the arrays are fresh and writable."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline).tobytes())
        fields = json.loads(self._read(length, deadline).tobytes())
        arrays = []
        for entry in fields.pop("arrays"):
            dtype = np.dtype(entry["dtype"])
            raw = self._read(math.prod(entry["shape"]) * dtype.itemsize, deadline)
            arrays.append(raw.view(dtype).reshape(entry["shape"]))
        return fields, arrays

    def close(self) -> None:
        """Hang up; the other end sees the end of the stream."""
        # It fails where the other end hung up first.
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _read(self, count: int, deadline: float | None) -> np.ndarray:
        data = np.empty(count, np.uint8)
        done = 0
        while done < count:
            self._limit(deadline)
            got = self._end.recv_into(data[done:].data)
            if not got:
                raise ConnectionResetError("the other end hung up")
            done += got
        return data

    def _limit(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("the deadline has passed")
        self._end.settimeout(left)
