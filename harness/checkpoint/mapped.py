"""How upstream's loader sees a checkpoint's file, so that 4B weights need not be held at once.

Every tensor gets a mapping of its own, which goes with the tensor; the pages of one mapping of
the whole file would count as memory until the last is gone. For float32 the matrices can be left
in the file altogether: every bfloat16 value is a float32 value, so a matrix widened at each use
computes what one widened at loading does, and needs memory while it computes instead of 16 GB
with all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from harness.checkpoint.safetensors_file import open_tensors

__all__ = ["mapped_apart", "widen_on_use"]

_CODEC = "audio_tokenizer."
"""Its weights are small, and upstream folds the norm of some of them while it loads."""


@contextmanager
def mapped_apart(*, leave_matrices: bool) -> Iterator[dict[str, Tensor]]:
    """Have upstream's loader map each tensor by itself.

    With `leave_matrices` it gets placeholders for the matrices outside the codec, and the
    dictionary is filled meanwhile: checkpoint name → the matrix that was left out.
    """
    import safetensors

    left: dict[str, Tensor] = {}

    class Opened:
        """What upstream's loader uses of an open file."""

        def __init__(self, path: str, **_options: Any) -> None:
            self._tensors = open_tensors(Path(path))

        def __enter__(self) -> Opened:
            return self

        def __exit__(self, *raised: Any) -> None:
            self._tensors = {}

        def keys(self) -> list[str]:
            return list(self._tensors)

        def get_tensor(self, name: str) -> Tensor:
            tensor = torch.from_numpy(self._tensors[name].view(np.int16)).view(torch.bfloat16)
            if not leave_matrices or tensor.ndim != 2 or name.startswith(_CODEC):
                return tensor
            left[name] = tensor
            return torch.zeros(()).expand(tensor.shape)  # one number, whatever the shape

    with mock.patch.object(safetensors, "safe_open", Opened):
        yield left


def widen_on_use(model: nn.Module, name: str, matrix: Tensor) -> None:
    """Keep only `matrix` as the parameter `name` of `model`, and compute with it as float32."""
    path, _, leaf = name.rpartition(".")
    holder = model.get_submodule(path)
    setattr(holder, leaf, nn.Parameter(matrix, requires_grad=False))
    # Unsafe is what torch calls a parametrisation that changes the type.
    parametrize.register_parametrization(holder, leaf, _Widen(), unsafe=True)


class _Widen(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight if weight.dtype == torch.float64 else weight.float()
