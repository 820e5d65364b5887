"""Quantise weights as upstream's exporter does, one layer at a time.

Each layer goes through upstream's own `quantize_model_` (torchao's HQQ search) and is kept in
the cache by itself, so that a killed run resumes with the layers already done and memory holds
one layer's search at a time. Quantised layers of a model take the place of the float ones.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from harness.cache import Recipe, digest_of, maker, read_or_make
from harness.errors import InputError
from harness.memory import give_back_freed_memory
from harness.methods.precision import Precision
from harness.upstream import parts, quiet

__all__ = ["Layer", "layers_to_quantize", "quantize_in_place", "quantized_weight"]

_FILE = "layer.safetensors"

TENSORS = ("qdata", "scale", "zero_point")
"""torchao's names: int8 values (rows, columns), their scales and zero points (rows, groups)."""

# What MLX cuts a row into, at the least, where one scale is for all of it.
_LEAST_PIECE = {"linear": 32, "embedding": 16}

_EMBEDDINGS = ("decoder.tok_embeddings", "audio_token_embedding.embeddings")

_SKIP = "flow_head."
"""Where upstream leaves out a linear whose rows the group size does not divide."""


@dataclass(frozen=True)
class Layer:
    """One layer that the precision asks to quantise.

    Attributes
    ----------
    fqn
        Path of the module in upstream's ``VoxtralTTSModel``.
    kind
        ``"linear"`` or ``"embedding"``.
    width, group_size
        As in `Precision`.
    skipped
        Why it stays as it is; empty where it is quantised.
    """

    fqn: str
    kind: str
    width: str
    group_size: int
    skipped: str = ""

    def recipe(self, float_type: str, weights: str) -> Recipe:
        """What its quantised values depend on; `weights` is the digest of the checkpoint."""
        facts = {
            "weights": weights,
            "fqn": self.fqn,
            "width": self.width,
            "group": self.group_size,
            "type": float_type,
            "made by": _maker(),
        }
        brief = f"layers in {float_type}, weights {weights[:12]}"
        return Recipe("quantized", f"{self.fqn}-{self.width}", facts, brief)


def layers_to_quantize(model: Any, precision: Precision) -> tuple[Layer, ...]:
    """Every linear and embedding that `precision` asks for, those skipped included.

    Raises
    ------
    InputError
        A row of the decoder or of an embedding does not divide into groups.
    """
    return tuple(_layers(model, precision))


def quantize_in_place(
    model: Any,
    precision: Precision,
    weights: str,
    progress: Callable[[str], None] = lambda text: None,
    *,
    fresh: bool = False,
) -> None:
    """Quantise the layers of `model` that `precision` asks for, one after the other.

    A layer's float weight is let go of as soon as its quantised one is there.

    Parameters
    ----------
    model
        Upstream's ``VoxtralTTSModel``, loaded in the precision's floating-point type.
    precision
        What to quantise.
    weights
        Digest of the checkpoint; part of each layer's key in the cache.
    progress
        Called with one line a layer.
    fresh
        Quantise even the layers that the cache has.
    """
    chosen = [layer for layer in layers_to_quantize(model, precision) if not layer.skipped]
    for number, layer in enumerate(chosen, 1):
        module = model.get_submodule(layer.fqn)
        say = partial(
            progress,
            f"quantising {layer.fqn} to {layer.width} {tuple(module.weight.shape)}, "
            f"layer {number} of {len(chosen)}",
        )
        weight = read_or_make(
            layer.recipe(precision.float_type, weights),
            partial(_make, module, layer, say),
            partial(_load, module, layer),
            fresh=fresh,
        )
        module.weight = nn.Parameter(weight, requires_grad=False)


def _layers(model: Any, precision: Precision) -> Iterator[Layer]:
    width, group = precision.qlinear, precision.qlinear_group_size
    if width is not None and group is not None:
        for fqn, module in model.named_modules():
            if isinstance(module, nn.Linear) and _in_scope(fqn, precision.decoder_qlinear_scope):
                yield _layer(module, fqn, "linear", width, group)
    width, group = precision.qembedding, precision.qembedding_group_size
    if width is not None and group is not None:
        for fqn in _EMBEDDINGS:
            yield _layer(model.get_submodule(fqn), fqn, "embedding", width, group)


def _in_scope(fqn: str, scope: str) -> bool:
    in_decoder = fqn.startswith("decoder.") and (scope == "all" or f".{scope}." in fqn)
    return in_decoder or fqn.startswith("flow_head.")


def _layer(module: Any, fqn: str, kind: str, width: str, group: int) -> Layer:
    columns = module.weight.shape[-1]
    piece = group or _LEAST_PIECE[kind]
    if columns % piece == 0:
        return Layer(fqn, kind, width, group)
    reason = f"rows of {columns} do not divide into groups of {piece}"
    if not fqn.startswith(_SKIP):
        raise InputError(f"{fqn} cannot be quantised to {width}: {reason}; take another group size")
    return Layer(fqn, kind, width, group, skipped=reason)


@cache
def _maker() -> str:
    """Digest of the quantising code and of the machine: hundreds of layers name them."""
    facts = maker(
        "harness.reference.quantize",
        "harness.checkpoint.loading",
        stack=("torch", "executorch", "torchao", "safetensors"),
        packages=parts("examples/models/voxtral_tts", quantized=True),
    )
    return digest_of(json.dumps(facts, sort_keys=True).encode())


def quantized_weight(module: Any, layer: Layer) -> torch.Tensor:
    """The layer's quantised weight, by upstream's own function; `module` keeps its own."""
    with quiet():
        from executorch.extension.llm.export.quantize import quantize_model_

    holder = nn.Module()
    holder.layer = copy.copy(module)
    holder.layer._parameters = dict(module._parameters)
    what = f"q{layer.kind}"
    with quiet(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        quantize_model_(
            holder, **{f"{what}_config": layer.width, f"{what}_group_size": layer.group_size}
        )
    weight = holder.layer.weight.data
    if type(weight) is torch.Tensor:
        raise InputError(f"torchao left {layer.fqn} as it was; is its version the pinned one?")
    return weight


def _make(module: Any, layer: Layer, say: Callable[[], None], scratch: Path) -> None:
    say()
    weight = quantized_weight(module, layer)
    save_file({name: getattr(weight, name).contiguous() for name in TENSORS}, scratch / _FILE)
    del weight
    give_back_freed_memory()


def _load(module: Any, layer: Layer, entry: Path) -> torch.Tensor | None:
    """The weight that is kept, mapped; None where none is whole and fits."""
    with quiet():
        from torchao.quantization import IntxUnpackedToInt8Tensor
    try:
        tensors = load_file(entry / _FILE)
    except (OSError, SafetensorError):
        return None
    if set(tensors) != set(TENSORS) or tensors["qdata"].shape != module.weight.shape:
        return None
    return IntxUnpackedToInt8Tensor(
        *(tensors[name] for name in TENSORS),
        target_dtype=getattr(torch, f"int{layer.width.removesuffix('w')}"),
        block_size=(1, layer.group_size or module.weight.shape[-1]),
        dtype=module.weight.dtype,
        activation_quantization=None,
    )
