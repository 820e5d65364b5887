"""Load a checked checkpoint into upstream's eager model; the one module here that needs torch."""

from __future__ import annotations

import contextlib
import io
import pickle
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.checkpoint.opening import Checkpoint
from harness.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from executorch.examples.models.voxtral_tts.model import VoxtralTTSModel

__all__ = ["load_model", "load_voice"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(
    checkpoint: Checkpoint, *, max_seq_len: int, dtype: str = "float32"
) -> VoxtralTTSModel:
    """Upstream's eager model with the weights of `checkpoint`, in eval mode, without gradients.

    Parameters
    ----------
    checkpoint
        As `open_checkpoint` returns it.
    max_seq_len
        Positions of the KV cache.
    dtype
        Floating-point type of weights and activations: ``"float32"`` or ``"bfloat16"``.

    Raises
    ------
    InputError
        `max_seq_len` or `dtype` makes no sense.
    CheckpointError
        A weight is NaN or infinite, or upstream's loader complains or fails.
    """
    from executorch.examples.models.voxtral_tts import model as upstream

    if dtype not in _DTYPES:
        raise InputError(f"dtype must be one of {', '.join(_DTYPES)} (got {dtype!r})")
    if max_seq_len < 1:
        raise InputError(f"max_seq_len must be positive (got {max_seq_len})")
    bad = checkpoint.non_finite_tensor()
    if bad is not None:
        name, count = bad
        raise CheckpointError(
            f"{checkpoint.weights.name}: tensor {name} holds {count} NaN or infinite values; "
            "fetch the file again"
        )
    with contextlib.redirect_stdout(io.StringIO()) as log:
        try:
            model = upstream.load_model(
                str(checkpoint.directory), max_seq_len=max_seq_len, dtype=_DTYPES[dtype]
            )
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"upstream's loader refuses checkpoint {checkpoint.name}: {error}"
            ) from error
    # Upstream only prints what it could not place, and goes on with untrained values.
    if "WARNING" in log.getvalue():
        complaint = log.getvalue()[log.getvalue().index("WARNING") :].strip()
        raise CheckpointError(
            f"upstream's loader could not place every tensor of checkpoint {checkpoint.name}: "
            f"{' '.join(complaint.split())}"
        )
    model.requires_grad_(False)
    return model.eval()


def load_voice(checkpoint: Checkpoint, name: str) -> NDArray[np.float32]:
    """The embedding of a voice, float32, shape (rows, dim).

    Read weights-only, so that a hostile file cannot run code.

    Raises
    ------
    InputError
        There is no voice of that name.
    CheckpointError
        The file is damaged, not a bare tensor, or of another width than the model's.
    """
    from executorch.examples.models.voxtral_tts.voice import load_voice_from_model_dir

    path = checkpoint.voice_file(name)
    dim = checkpoint.config.decoder.dim
    try:
        # The full path, because upstream looks for a bare name in the working directory first.
        rows, _ = load_voice_from_model_dir(checkpoint.directory, str(path), dim=dim)
    except (OSError, RuntimeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"voice_embedding/{path.name} cannot be read: {reason}") from error
    if rows.ndim != 2 or rows.shape[1] != dim or not len(rows):
        raise CheckpointError(
            f"voice_embedding/{path.name} must have shape (rows, {dim}) (got {tuple(rows.shape)})"
        )
    values = np.ascontiguousarray(rows.numpy(), np.float32)
    if not np.isfinite(values).all():
        raise CheckpointError(f"voice_embedding/{path.name} holds NaN or infinite values")
    return values
