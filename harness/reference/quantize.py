"""Quantise weights as upstream's exporter does, one layer at a time.

Each layer goes through upstream's own `quantize_model_` (torchao's HQQ search) and is kept in
the cache by itself, so that a killed run resumes with the layers already done and memory holds
one layer's search at a time. Quantised layers of a model take the place of the float ones;
everything else is shared with the model they come from.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness.cache import borrowed
from harness.errors import InputError, MachineError
from harness.memory import give_back_freed_memory
from harness.methods.precision import Precision
from harness.reference.kept_layers import FILE, KIND, TENSORS, layer_facts, read_layer
from harness.upstream import quiet

__all__ = ["Layer", "layers_to_quantize", "quantize_in_place", "quantized_copy"]

# What MLX cuts a row into, at the least, where one scale is for all of it.
_LEAST_PIECE = {"linear": 32, "embedding": 16}

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


def layers_to_quantize(model: Any, precision: Precision) -> tuple[Layer, ...]:
    """Every linear and embedding that `precision` asks for, those skipped included.

    Raises
    ------
    InputError
        A row of the decoder or of an embedding does not divide into groups.
    """
    return tuple(_layers(model, precision))


def quantized_copy(model: Any, precision: Precision, weights: str, **options: Any) -> Any:
    """A copy of `model` whose layers are quantised; parameters that are not are shared.

    Parameters are those of `quantize_in_place`; `model` is left as it is.
    """
    shared = {id(tensor): tensor for tensor in model.parameters()}
    # Buffers too, but for the KV cache: both models may write to theirs.
    shared.update({id(t): t for name, t in model.named_buffers() if ".kv_cache." not in name})
    twin = copy.deepcopy(model, shared)
    quantize_in_place(twin, precision, weights, **options)
    return twin


def quantize_in_place(
    model: Any,
    precision: Precision,
    weights: str,
    progress: Callable[[str], None] = lambda text: None,
    *,
    fresh: bool = False,
) -> tuple[Layer, ...]:
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

    Returns
    -------
    tuple of Layer
        All that were asked for; those that could not be quantised say why.
    """
    layers = layers_to_quantize(model, precision)
    chosen = [layer for layer in layers if not layer.skipped]
    for number, layer in enumerate(chosen, 1):
        module = model.get_submodule(layer.fqn)
        facts = layer_facts(layer.fqn, layer.width, layer.group_size, precision.float_type, weights)
        say = partial(
            progress,
            f"quantising {layer.fqn} to {layer.width} {tuple(module.weight.shape)}, "
            f"layer {number} of {len(chosen)}",
        )
        module.weight = nn.Parameter(_kept(module, layer, facts, say, fresh), requires_grad=False)
    return layers


def _layers(model: Any, precision: Precision) -> Iterator[Layer]:
    if precision.qlinear is not None:
        assert precision.qlinear_group_size is not None
        for fqn, module in model.named_modules():
            if isinstance(module, nn.Linear) and _in_scope(fqn, precision):
                yield _layer(fqn, "linear", module, precision.qlinear, precision.qlinear_group_size)
    if precision.qembedding is not None:
        assert precision.qembedding_group_size is not None
        for fqn in ("decoder.tok_embeddings", "audio_token_embedding.embeddings"):
            module = model.get_submodule(fqn)
            yield _layer(
                fqn, "embedding", module, precision.qembedding, precision.qembedding_group_size
            )


def _in_scope(fqn: str, precision: Precision) -> bool:
    if fqn.startswith("flow_head."):
        return True
    scope = precision.decoder_qlinear_scope
    return fqn.startswith("decoder.") and (scope == "all" or f".{scope}." in fqn)


def _layer(fqn: str, kind: str, module: Any, width: str, group: int) -> Layer:
    columns = module.weight.shape[-1]
    piece = group or _LEAST_PIECE[kind]
    if columns % piece == 0:
        return Layer(fqn, kind, width, group)
    reason = f"rows of {columns} do not divide into groups of {piece}"
    if not fqn.startswith(_SKIP):
        raise InputError(f"{fqn} cannot be quantised to {width}: {reason}; take another group size")
    return Layer(fqn, kind, width, group, skipped=reason)


def _quantize(module: Any, layer: Layer) -> torch.Tensor:
    """The layer's quantised weight, by upstream's own function; `module` keeps its own."""
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


def _kept(
    module: Any, layer: Layer, facts: Mapping[str, Any], say: Callable[[], None], fresh: bool
) -> torch.Tensor:
    """The layer's quantised weight, mapped from the cache, where it is put if need be."""

    def make(scratch: Path) -> None:
        say()
        weight = _quantize(module, layer)
        save_file({name: getattr(weight, name).contiguous() for name in TENSORS}, scratch / FILE)

    for again in dict.fromkeys((fresh, True)):  # damaged in its place, it is made again
        name = f"{layer.fqn}-{layer.width}"
        brief = f"layers in {facts['type']}, weights {facts['weights'][:12]}"
        with borrowed(KIND, name, facts, make, brief=brief, fresh=again) as entry:
            weight = _load(entry.path / FILE, module, layer)
        if entry.made:
            give_back_freed_memory()
        if weight is not None:
            return weight
    raise MachineError(f"{layer.fqn} was quantised, and cannot be read back from the cache")


def _load(path: Path, module: Any, layer: Layer) -> torch.Tensor | None:
    """The weight kept at `path`; None where there is none, or none that is whole and fits."""
    kept = read_layer(path)
    if kept is None or kept["qdata"].shape != tuple(module.weight.shape):
        return None
    with quiet():
        from torchao.quantization import IntxUnpackedToInt8Tensor

    tensors = load_file(path)
    return IntxUnpackedToInt8Tensor(
        *(tensors[name] for name in TENSORS),
        target_dtype=getattr(torch, f"int{layer.width.removesuffix('w')}"),
        block_size=(1, layer.group_size or module.weight.shape[-1]),
        dtype=module.weight.dtype,
        activation_quantization=None,
    )
