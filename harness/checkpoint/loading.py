"""Load a checked checkpoint into upstream's eager model."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import TYPE_CHECKING, Any

import torch

from harness.checkpoint.mapped import mapped_apart, widen_on_use
from harness.checkpoint.opening import Checkpoint
from harness.errors import CheckpointError, InputError, one_of

if TYPE_CHECKING:
    from executorch.examples.models.voxtral_tts.model import VoxtralTTSModel

__all__ = ["around_the_same_weights", "load_model"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(
    checkpoint: Checkpoint, *, max_seq_len: int, dtype: str = "float32", mapped: bool = False
) -> VoxtralTTSModel:
    """Upstream's eager model with the weights of `checkpoint`, in eval mode, without gradients.

    Parameters
    ----------
    checkpoint, max_seq_len, dtype
        Which weights; positions of the KV cache; ``"float32"`` or ``"bfloat16"``.
    mapped
        Leave matrices in their file and widen each only while it computes; see
        `harness.checkpoint.mapped`. Such a model computes the same and takes a fraction of the
        memory, but of its parts only the codec can be exported. In bfloat16 it makes no
        difference: matrices are mapped anyway.

    Raises
    ------
    InputError
        `max_seq_len` or `dtype` makes no sense.
    CheckpointError
        A weight is NaN or infinite, or upstream's loader complains or fails.
    """
    from executorch.examples.models.voxtral_tts import model as upstream

    one_of("dtype", dtype, _DTYPES)
    if max_seq_len < 1:
        raise InputError(f"max_seq_len must be positive (got {max_seq_len})")
    if (bad := checkpoint.non_finite_tensor()) is not None:
        name, count = bad
        raise CheckpointError(
            f"{checkpoint.weights.name}: tensor {name} holds {count} NaN or infinite values; "
            "fetch the file again"
        )
    with (
        mapped_apart(leave_matrices=mapped and dtype == "float32") as left,
        contextlib.redirect_stdout(io.StringIO()) as log,
    ):
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
    for name, matrix in left.items():
        widen_on_use(model, upstream._map_checkpoint_key(name), matrix)
    model.requires_grad_(False)
    return model.eval()


def around_the_same_weights(module: Any) -> Any:
    """New modules with the parameters and buffers of `module`, which are not copied."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)
