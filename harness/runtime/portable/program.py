"""Read a `.pte` in place: its methods, and where their payloads and weights lie.

The file is mapped, never copied, and its weights are not touched. Weights that an export kept
in other files (`.ptd`, see `flat_tensor.py`) are found there by name.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.runtime.portable.flat_tensor import open_mapping, read_data_file
from harness.runtime.portable.parser import parse_program
from harness.runtime.portable.plan import Plan, Span

__all__ = ["Program", "read_program"]

# A system call for each of many small tensors would cost more than their pages.
_WORTH_ADVISING = 1 << 20


@dataclass(frozen=True)
class Program:
    """A mapped `.pte`, with the data files that go with it.

    Attributes
    ----------
    plans
        Method name → plan, in file order.
    named_data
        Key → where its bytes lie; delegates find their weights here.
    mappings
        The `.pte`, then its data files, as `Span.file` counts them.
    """

    path: Path
    plans: Mapping[str, Plan]
    named_data: Mapping[str, Span]
    mappings: tuple[mmap.mmap, ...]

    def data(self, where: Span | bytes) -> memoryview:
        """View of a part of a file; what is made of it may outlive `close`."""
        if isinstance(where, bytes):
            return memoryview(where)
        return memoryview(self.mappings[where.file])[where.offset : where.offset + where.size]

    def let_go(self, where: Span) -> None:
        """Say that a part of a file was read, so that its pages need not stay in memory."""
        mapping = self.mappings[where.file]
        first = where.offset - where.offset % mmap.PAGESIZE
        if hasattr(mapping, "madvise") and where.size >= _WORTH_ADVISING:
            mapping.madvise(mmap.MADV_DONTNEED, first, where.offset + where.size - first)

    def close(self) -> None:
        """Unmap the files; one that is still looked at is unmapped with the last view of it."""
        for mapping in self.mappings:
            with contextlib.suppress(BufferError):
                mapping.close()


def read_program(path: Path, data: Sequence[Path] = ()) -> Program:
    """Map a `.pte` and read its structure.

    Parameters
    ----------
    data
        The `.ptd` files of weights that were exported apart from the program.

    Raises
    ------
    ProgramError
        A file is missing, truncated, damaged or not what it should be.
    """
    mappings = [open_mapping(path, ".pte")]
    try:
        others = []
        for number, other in enumerate(data, start=1):
            mappings.append(open_mapping(other, ".ptd"))
            with memoryview(mappings[-1]) as content:
                others.append(read_data_file(other, content, number))
        with memoryview(mappings[0]) as content:
            plans, named_data = parse_program(path, content, others)
    except BaseException:
        for mapping in mappings:
            mapping.close()
        raise
    return Program(path, plans, named_data, tuple(mappings))
