"""A file that is looked at in place; its large parts can also be read past the mapping."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

from harness.errors import ProgramError

__all__ = ["MappedFile"]


class MappedFile:
    """A file mapped for reading.

    Parameters
    ----------
    path
        The file.
    kind
        What it should be, for errors: ``.pte``.

    Raises
    ------
    ProgramError
        It is missing or empty.
    """

    def __init__(self, path: Path, kind: str) -> None:
        try:
            # Another file may take its place while it is used: every access goes to this one.
            self._file = path.open("rb", buffering=0)
            try:
                self._mapping = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise ProgramError(f"{path} cannot be opened: {error.strerror}") from error
        except ValueError as error:
            raise ProgramError(f"{path} is empty, expected a {kind}; export it again") from error

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
