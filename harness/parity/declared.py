"""What an artifact says of itself, in its metadata methods, whatever runs it."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError
from harness.export.artifacts import given_path
from harness.pte.facts import read_metadata

__all__ = ["declared", "declared_size"]


def declared(path: Path) -> dict[str, int]:
    """The whole numbers among the metadata methods of a file."""
    return {name: value for name, value in read_metadata(path).items() if isinstance(value, int)}


def declared_size(directory: Path, artifact: str, name: str) -> int:
    """A size that a given artifact declares.

    Raises
    ------
    InputError
        There is no such file, or it does not say.
    """
    told = declared(given_path(directory, artifact))
    if name not in told:
        raise InputError(
            f"{artifact} has no metadata method {name}, so that its size is not known; export it "
            "with `voxtral-parity export` or upstream's script"
        )
    return told[name]
