"""A file that is looked at in place; its large parts can also be read past the mapping."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path
from typing import Any

from harness.errors import ProgramError
from harness.files import open_file

__all__ = ["MappedFile"]


class MappedFile:
    """A file mapped for reading; `kind` says in errors what it should be: ``program``."""

    def __init__(self, path: Path, kind: str) -> None:
        # Another file may take its place while it is used: every access goes to this one.
        self._file: Any = open_file(path, kind, ProgramError)
        try:
            self._mapping = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except BaseException as error:
            self._file.close()
            if isinstance(error, ValueError):
                raise ProgramError(f"{kind} {path} is empty; export it again") from error
            if isinstance(error, OSError):
                raise ProgramError(f"{kind} {path} cannot be read: {error.strerror}") from error
            raise

    def view(self) -> memoryview:
        """The whole file; what is sliced from it may outlive `close`."""
        return memoryview(self._mapping)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes from `offset` on without mapping them; fewer than asked at the file's end."""
        self._file.seek(offset)
        done = 0
        while done < len(buffer) and (count := self._file.readinto(buffer[done:])):
            done += count
        return done

    def close(self) -> None:
        """Unmap the file; if it is still looked at, it is unmapped with the last view of it."""
        self._file.close()
        with contextlib.suppress(BufferError):
            self._mapping.close()
