"""A size that a given file says of itself, in a metadata method."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError
from harness.export.artifacts import given_path
from harness.pte.metadata import read_metadata

__all__ = ["declared_size"]


def declared_size(directory: Path, artifact: str, name: str) -> int:
    """A size that a given artifact declares.

    Raises
    ------
    InputError
        There is no such file, or it does not say.
    """
    size = read_metadata(given_path(directory, artifact)).get(name)
    if type(size) is not int or size < 1:
        raise InputError(
            f"{artifact} has no metadata method {name} that gives a size (got {str(size)[:40]}); "
            "export it with `voxtral-parity export` or upstream's script"
        )
    return size
