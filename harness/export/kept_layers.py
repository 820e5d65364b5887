"""The quantised layers that the cache keeps, a safetensors file each: where, and what is in them.

Needs no torch, so that judging can compare an export with them without it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import ml_dtypes
import numpy as np

from harness.arrays import Array
from harness.checkpoint.safetensors_file import read_header
from harness.errors import CheckpointError
from harness.files import cache_dir

__all__ = ["TENSORS", "layer_path", "read_layer"]

TENSORS = ("qdata", "scale", "zero_point")
"""torchao's names: int8 values (rows, columns), their scales and zero points (rows, groups)."""

_NUMPY = {
    "I8": np.dtype(np.int8),
    "F32": np.dtype(np.float32),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


def layer_path(fqn: str, width: str, group_size: int, float_type: str, weights: str) -> Path:
    """File of one layer: its key is everything that its values depend on.

    Parameters
    ----------
    fqn
        Path of the layer in upstream's model.
    width, group_size, float_type
        As in `Precision`.
    weights
        Digest of the checkpoint.
    """
    facts = {
        "weights": weights,
        "fqn": fqn,
        "width": width,
        "group": group_size,
        "type": float_type,
        "versions": {p: importlib.metadata.version(p) for p in ("torch", "torchao", "executorch")},
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    return cache_dir() / "quantized" / f"{fqn}-{width}-{key}.safetensors"


def read_layer(path: Path) -> dict[str, Array] | None:
    """The arrays in a layer's file, mapped; None where there is no file, or none that is whole."""
    try:
        entries = read_header(path)
    except CheckpointError:
        return None
    if set(entries) != set(TENSORS) or any(e.dtype not in _NUMPY for e in entries.values()):
        return None
    return {
        name: np.memmap(path, _NUMPY[entry.dtype], "r", entry.begin, entry.shape)
        for name, entry in entries.items()
    }
