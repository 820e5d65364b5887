"""Read a voice's embedding, as upstream's runner does, and never run what a file says."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from harness.checkpoint.opening import MAX_VOICE_ROWS, Checkpoint
from harness.checkpoint.voice_file import read_voice
from harness.errors import CheckpointError
from harness.files import read_file

__all__ = ["load_voice", "peer_of", "readable_voice"]


def load_voice(
    checkpoint: Checkpoint, voice: str | None, *, rows_hint: int | None = None
) -> NDArray[np.float32]:
    """The embedding of a voice, float32, shape (rows, dim).

    Of a `.pt` file nothing runs, so that a hostile one can do no harm. A `.bin` file is bare
    numbers: float32 if that gives as many rows as is expected, else bfloat16.

    Parameters
    ----------
    checkpoint, voice
        Whose, and which, as `Checkpoint.find_voice` takes it; where that finds none there are no
        rows.
    rows_hint
        Rows to expect of a `.bin` file that has no `.pt` beside it: upstream's runner takes
        `voice_embed_len` of `model.pte`.

    Raises
    ------
    InputError
        There is no such voice.
    CheckpointError
        The file is damaged, not a bare tensor, or of another width than the model's.

    References
    ----------
    ``examples/models/voxtral_tts/voxtral_tts_runner.cpp`` (`load_voice_embedding`).
    """
    dim = checkpoint.config.decoder.dim
    path = checkpoint.find_voice(voice)
    if path is None:
        return np.zeros((0, dim), np.float32)
    if path.suffix == ".pt":
        rows = read_voice(path, MAX_VOICE_ROWS * dim)
    else:
        peer = peer_of(path)
        if peer is not None:
            rows_hint = len(read_voice(peer, MAX_VOICE_ROWS * dim))
        rows = _read_numbers(path, dim, rows_hint)
    if rows.ndim != 2 or rows.shape[1] != dim or not len(rows):
        raise CheckpointError(f"voice {path} must have shape (rows, {dim}) (got {rows.shape})")
    if not np.isfinite(rows).all():
        raise CheckpointError(f"voice {path} holds NaN or infinite values")
    return rows


def peer_of(voice: Path) -> Path | None:
    """The `.pt` file whose rows say how those of a `.bin` file are read; None: nothing does."""
    peer = voice.with_suffix(".pt")
    return peer if peer != voice and peer.is_file() else None


def readable_voice(checkpoint: Checkpoint, voice: str | None) -> Path | None:
    """The file that `find_voice` finds, once it can be read; raises what `load_voice` does."""
    path = checkpoint.find_voice(voice)
    if path is not None:
        # As float32, bfloat16 numbers are finite where they are: the second of each two decides.
        rows = path.stat().st_size // (checkpoint.config.decoder.dim * 4)
        load_voice(checkpoint, voice, rows_hint=rows)
    return path


def _read_numbers(path: Path, dim: int, rows: int | None) -> NDArray[np.float32]:
    raw = read_file(path, "voice", CheckpointError, limit=MAX_VOICE_ROWS * dim * 4)
    if rows is not None and len(raw) == rows * dim * 4:
        return np.frombuffer(raw, "<f4").reshape(-1, dim).astype(np.float32)
    # Whatever is a whole number of float32 rows is one of bfloat16 rows too.
    if len(raw) % (dim * 2) == 0:
        values = np.frombuffer(raw, "<u2").astype(np.uint16).view(ml_dtypes.bfloat16)
        return values.reshape(-1, dim).astype(np.float32)
    raise CheckpointError(
        f"voice {path} must be whole rows of {dim} bfloat16 or float32 numbers "
        f"(got {len(raw)} bytes)"
    )
