"""The quantised layers that the cache keeps, a safetensors file each: where, and what is in them.

Needs no torch, so that judging can compare an export with them without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.arrays import Array
from harness.cache import digest_of, maker, path_of
from harness.checkpoint.safetensors_file import open_tensors
from harness.errors import CheckpointError

__all__ = ["FILE", "KIND", "QUANTIZERS", "TENSORS", "layer_facts", "layer_path", "read_layer"]

KIND, FILE = "quantized", "layer.safetensors"
"""Of the cache's entries, and the file in each."""

QUANTIZERS: Mapping[str, tuple[str, ...]] = {
    "executorch": ("extension/llm/export",),
    "torchao": ("quantization", "prototype/quantization", "utils.py"),
}
"""Parts of upstream's packages that quantise a layer."""

TENSORS = ("qdata", "scale", "zero_point")
"""torchao's names: int8 values (rows, columns), their scales and zero points (rows, groups)."""


def layer_facts(
    fqn: str, width: str, group_size: int, float_type: str, weights: str
) -> dict[str, Any]:
    """Everything that the values of one layer depend on.

    Parameters
    ----------
    fqn
        Path of the layer in upstream's model.
    width, group_size, float_type
        As in `Precision`.
    weights
        Digest of the checkpoint.
    """
    return {
        "weights": weights,
        "fqn": fqn,
        "width": width,
        "group": group_size,
        "type": float_type,
        "made by": _maker(),
    }


@cache
def _maker() -> str:
    """Digest of the quantising code and of the machine: hundreds of layers name them."""
    facts = maker(
        "harness.reference.quantize",
        "harness.checkpoint.loading",
        stack=("torch", "executorch", "torchao", "safetensors"),
        packages=QUANTIZERS,
    )
    return digest_of(json.dumps(facts, sort_keys=True).encode())


def layer_path(fqn: str, width: str, group_size: int, float_type: str, weights: str) -> Path:
    """Where the file of one layer is, if it was quantised; parameters are those of its facts."""
    facts = layer_facts(fqn, width, group_size, float_type, weights)
    return path_of(KIND, f"{fqn}-{width}", facts) / FILE


def read_layer(path: Path) -> dict[str, Array] | None:
    """The arrays in a layer's file, mapped; None where there is no file, or none that is whole."""
    try:
        tensors = open_tensors(path)
    except (CheckpointError, OSError):
        return None
    return tensors if set(tensors) == set(TENSORS) else None
