"""Read a `.pte` in place: its methods, and where their payloads and weights lie.

The file is mapped, never copied, and its weights are not touched. Weights that an export kept
in other files (`.ptd`, see `flat_tensor.py`) are found there by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from harness.pte.flat_tensor import read_data_file
from harness.pte.mapped_file import MappedFile
from harness.pte.parser import parse_program
from harness.pte.plan import Plan, Span

__all__ = ["Program", "read_program"]


@dataclass(frozen=True)
class Program:
    """A mapped `.pte`, with the data files that go with it.

    Attributes
    ----------
    plans
        Method name → plan, in file order.
    named_data
        Key → where its bytes lie; delegates find their weights here.
    files
        The `.pte`, then its data files, as `Span.file` counts them.
    """

    path: Path
    plans: Mapping[str, Plan]
    named_data: Mapping[str, Span]
    files: tuple[MappedFile, ...]

    def data(self, where: Span | bytes) -> memoryview:
        """View of a part of a file; what is made of it may outlive `close`."""
        if isinstance(where, bytes):
            return memoryview(where)
        return self.files[where.file].view()[where.offset : where.offset + where.size]

    def close(self) -> None:
        """Unmap the files; one that is still looked at is unmapped with the last view of it."""
        for file in self.files:
            file.close()


def read_program(path: Path, data: Sequence[Path] = ()) -> Program:
    """Map a `.pte`, and the `.ptd` files of weights exported apart from it, and read its structure.

    Raises
    ------
    ProgramError
        A file is missing, truncated, damaged or not what it should be.
    """
    with ExitStack() as opened:
        others = []
        files = [opened.enter_context(closing(MappedFile(path, "program")))]
        for number, other in enumerate(data, start=1):
            files.append(opened.enter_context(closing(MappedFile(other, "data file"))))
            with files[-1].view() as content:
                others.append(read_data_file(other, content, number))
        with files[0].view() as content:
            plans, named_data = parse_program(path, content, others)
        opened.pop_all()
    return Program(path, plans, named_data, tuple(files))
