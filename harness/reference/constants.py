"""What the constants of an export must be, bit for bit, from the eager model that is exported.

Which layers must be quantised, in which groups, and how values are packed is derived here from
the precision and MLX's format alone, not from the exporter, so that a fault there shows.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.arrays import Array, from_torch
from harness.methods.precision import PER_AXIS, Precision
from harness.pte.expected import ExpectedConstant, ExpectedContents, ExpectedLayer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.checkpoint import Checkpoint

__all__ = ["expected_constants"]

_SEMANTIC = "flow_head.semantic_codebook_output."

_OWNERS: Mapping[str, Callable[[str], bool]] = {
    "token_embedding": lambda name: name.startswith("decoder.tok_embeddings."),
    "audio_token_embedding": lambda name: name.startswith("audio_token_embedding."),
    "text_decoder": lambda name: name.startswith(
        ("decoder.layers.", "decoder.norm.", "decoder.freqs_")
    ),
    "semantic_head": lambda name: name.startswith(_SEMANTIC),
    "predict_velocity": lambda name: (
        name.startswith("flow_head.") and not name.startswith(_SEMANTIC)
    ),
    "codec": lambda name: name.startswith("codec_decoder."),
}
"""Which method computes with a tensor of upstream's model."""

_EMBEDDINGS = ("decoder.tok_embeddings", "audio_token_embedding.embeddings")

_CODEBOOK = "codec_decoder.quantizer.semantic_codebook."

_FROM_CHECKPOINT = (f"{_CODEBOOK}embedding_sum", f"{_CODEBOOK}cluster_usage")
"""Buffers that are read from the checkpoint; all others are computed by upstream's loader."""

_STANDS_FOR: Mapping[str, tuple[str, ...]] = {f"{_CODEBOOK}_embedding": _FROM_CHECKPOINT}
"""A table that an export may hold in the place of those that it is computed from."""

_MLX_GROUPS = (128, 64, 32, 16)
"""Groups that MLX's kernels take; a longer one is cut into the longest of these that divides it."""

_ROWS = 4096
"""Rows of a weight that are compared at a time, to bound memory."""


def expected_constants(
    model: Any, precision: Precision, checkpoint: Checkpoint
) -> dict[str, ExpectedContents]:
    """What each method of an export must hold.

    Parameters
    ----------
    model
        Upstream's ``VoxtralTTSModel`` as it is exported: loaded in the precision's type, and
        quantised. One with mapped matrices gives the same.
    precision
        What was asked to be quantised.
    checkpoint
        Where the model's weights come from; quantised ones are measured against them.

    Returns
    -------
    dict
        Method → contents, for all six methods.
    """
    tensors = dict(_tensors(model))
    parameters = {
        name.replace(".parametrizations", "").removesuffix(".original")
        for name, _ in model.named_parameters()
    }
    found: dict[str, ExpectedContents] = {}
    for method, owns in _OWNERS.items():
        layers, skipped = [], []
        constants = []
        for name, read in tensors.items():
            if not owns(name):
                continue
            asked = _asked(name, model, method, precision)
            if asked is not None:
                layer = _layer(name, read(), *asked, checkpoint)
                if layer is not None:
                    layers.append(layer)
                    continue
                skipped.append(name.removesuffix(".weight"))
            required = name in parameters or name in _FROM_CHECKPOINT
            constants.append(_constant(name, read(), required=required))
        found[method] = ExpectedContents(tuple(constants), tuple(layers), tuple(skipped))
    return found


def _tensors(model: nn.Module) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Every parameter and buffer by name, but KV caches; the mapped ones are widened when read."""
    for path, module in model.named_modules():
        if ".parametrizations" in path or path.endswith("kv_cache"):
            continue
        leaves = [*module._parameters, *module._buffers, *getattr(module, "parametrizations", ())]
        for leaf in leaves:
            if getattr(module, leaf, None) is not None:
                yield f"{path}.{leaf}", partial(getattr, module, leaf)


def _asked(name: str, model: Any, method: str, precision: Precision) -> tuple[str, str, int] | None:
    """Kind, width and group size that the precision asks for; None: to be left as it is."""
    from torch import nn

    path, _, leaf = name.rpartition(".")
    if leaf != "weight" or method == "codec":
        return None
    if path in _EMBEDDINGS:
        if precision.qembedding is None or precision.qembedding_group_size is None:
            return None
        return "embedding", precision.qembedding, precision.qembedding_group_size
    if precision.qlinear is None or precision.qlinear_group_size is None:
        return None
    if not isinstance(model.get_submodule(path), nn.Linear):
        return None
    scope = precision.decoder_qlinear_scope
    if method == "text_decoder" and scope != "all" and f".{scope}." not in name:
        return None
    return "linear", precision.qlinear, precision.qlinear_group_size


def _layer(
    name: str, weight: Tensor, kind: str, width: str, asked_group: int, checkpoint: Checkpoint
) -> ExpectedLayer | None:
    """A quantised weight in MLX's form; None where MLX has no kernel for its rows."""
    bits = int(width.removesuffix("w"))
    rows, columns = weight.shape
    whole = columns if asked_group == PER_AXIS else asked_group
    least = 32 if kind == "linear" else 16
    group = next((g for g in _MLX_GROUPS if g >= least and whole % g == 0), None)
    if group is None or columns % whole:
        return None
    qdata, scale, zero = (getattr(weight, part, None) for part in ("qdata", "scale", "zero_point"))
    packed = scales = biases = dtype = ""
    sqnr = nearest = -math.inf
    if qdata is not None and scale is not None and zero is not None:
        scale, zero = from_torch(scale), from_torch(zero)
        packed = _digest(_packed(from_torch(qdata), bits))
        times = max(1, columns // group // scale.shape[1])
        with np.errstate(over="ignore"):
            bias = -scale * (zero.astype(scale.dtype) + scale.dtype.type(1 << (bits - 1)))
        scales, biases = (_digest(np.repeat(part, times, axis=1)) for part in (scale, bias))
        dtype = scale.dtype.name
        sqnr, nearest = _noise(name, weight, bits, whole, checkpoint)
    return ExpectedLayer(
        name.removesuffix(".weight"),
        bits,
        group,
        rows,
        columns,
        dtype,
        packed,
        scales,
        biases,
        sqnr,
        nearest,
    )


def _packed(qdata: Array, bits: int) -> Array:
    """MLX packs unsigned values, lowest first; torchao's are signed around 0."""
    values = qdata.view(np.uint8) + np.uint8(1 << (bits - 1))
    return values if bits == 8 else (values[:, ::2] & 15) | (values[:, 1::2] << 4)


def _noise(
    name: str, weight: Any, bits: int, group: int, checkpoint: Checkpoint
) -> tuple[float, float]:
    """Signal to noise in dB of a quantised weight, and of plain rounding in groups of `group`."""
    from executorch.examples.models.voxtral_tts import model as upstream
    from safetensors import safe_open

    signal = noise = plain = 0.0
    half = 2.0 ** (bits - 1)
    with safe_open(checkpoint.weights, framework="pt") as file:
        names = file.keys()
        (source,) = (key for key in names if upstream._map_checkpoint_key(key) == name)
        exact_rows = file.get_slice(source)
        for first in range(0, weight.shape[0], _ROWS):
            part = slice(first, first + _ROWS)
            exact = exact_rows[part].double()
            steps, zeros = (
                tensor[part].double().repeat_interleave(weight.shape[1] // tensor.shape[1], dim=1)
                for tensor in (weight.scale, weight.zero_point)
            )
            kept = (weight.qdata[part].double() - zeros) * steps
            groups = exact.reshape(len(exact), -1, group)
            step = (groups.abs().amax(-1, keepdim=True) / (half - 0.5)).clamp_min(1e-300)
            rounded = (groups / step).round().clamp(-half, half - 1) * step
            signal += float(exact.square().sum())
            noise += float((kept - exact).square().sum())
            plain += float((rounded - groups).square().sum())
    return _decibels(signal, noise), _decibels(signal, plain)


def _decibels(signal: float, noise: float) -> float:
    # JSON has no infinity; 300 dB is more than float64 tells apart.
    return 10 * math.log10(signal / noise) if noise and signal else 300.0


def _constant(name: str, tensor: Any, *, required: bool) -> ExpectedConstant:
    if hasattr(tensor, "qdata"):
        tensor = tensor.dequantize()
    array = from_torch(tensor.detach())
    layouts = itertools.permutations(range(array.ndim))
    return ExpectedConstant(
        name,
        array.dtype.name,
        array.shape,
        tuple(dict.fromkeys(_digest(array.transpose(axes)) for axes in layouts)),
        required=required,
        stands_for=_STANDS_FOR.get(name, ()),
    )


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest()
