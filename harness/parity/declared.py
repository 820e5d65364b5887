"""What an artifact says of itself, in its metadata methods, whatever runs it."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError
from harness.export.artifacts import given_path
from harness.pte.facts import read_metadata
from harness.synthesis import RUNNER_CHUNKS, Chunks

__all__ = ["declared", "declared_chunks", "declared_size"]


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


def declared_chunks(model: Path) -> Chunks:
    """How to stream, as `model.pte` says, or as upstream does where it says nothing."""
    told = declared(model)
    return Chunks(
        told.get("streaming_initial_chunk", RUNNER_CHUNKS.initial),
        told.get("streaming_chunk_frames", RUNNER_CHUNKS.following),
        told.get("streaming_left_context", RUNNER_CHUNKS.left_context),
    )
