"""What the constants of an export must be, bit for bit, from the eager model that is exported.

Which layers must be quantised, in which groups, and how values are packed is derived here from
the precision and MLX's format alone, not from the exporter, so that a fault there shows.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.arrays import BFLOAT16, Array, from_torch
from harness.methods.precision import PER_AXIS, Precision
from harness.pte.expected import ExpectedConstant, ExpectedContents, ExpectedLayer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.checkpoint import Checkpoint

__all__ = ["expected_constants"]

_OWNERS: Mapping[str, tuple[str, ...]] = {
    "token_embedding": ("decoder.tok_embeddings.",),
    "audio_token_embedding": ("audio_token_embedding.",),
    "text_decoder": ("decoder.layers.", "decoder.norm.", "decoder.freqs_"),
    "semantic_head": ("flow_head.semantic_codebook_output.",),
    "predict_velocity": ("flow_head.",),
    "codec": ("codec_decoder.",),
}
"""Which method, the first that fits, computes with a tensor of upstream's model."""

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
    """What each of the six methods of an export must hold.

    Parameters
    ----------
    model
        Upstream's ``VoxtralTTSModel`` as it is exported: loaded in the precision's type, and
        quantised. One with mapped matrices gives the same.
    precision
        What was asked to be quantised.
    checkpoint
        Where the model's weights come from; quantised ones are measured against them.
    """
    parameters = {
        name.replace(".parametrizations", "").removesuffix(".original")
        for name, _ in model.named_parameters()
    }
    found = {method: ExpectedContents(()) for method in _OWNERS}
    for name, read in _tensors(model):
        method = next((m for m, prefixes in _OWNERS.items() if name.startswith(prefixes)), None)
        if method is None:
            continue
        own = found[method]
        asked = _asked(name, model, method, precision)
        layer = None if asked is None else _layer(name, read(), *asked, checkpoint)
        if layer is not None:
            found[method] = replace(own, layers=(*own.layers, layer))
            continue
        constant = _constant(name, read(), name in parameters or name in _FROM_CHECKPOINT)
        skipped = () if asked is None else (name.removesuffix(".weight"),)
        found[method] = replace(
            own, constants=(*own.constants, constant), skipped=own.skipped + skipped
        )
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
    kind, width, group = "linear", precision.qlinear, precision.qlinear_group_size
    if path in _EMBEDDINGS:
        kind, width, group = "embedding", precision.qembedding, precision.qembedding_group_size
    elif not isinstance(model.get_submodule(path), nn.Linear):
        return None
    scope = precision.decoder_qlinear_scope
    if method == "text_decoder" and scope != "all" and f".{scope}." not in name:
        return None
    return None if width is None or group is None else (kind, width, group)


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
    form = (name.removesuffix(".weight"), bits, group, rows, columns)
    parts = [getattr(weight, part, None) for part in ("qdata", "scale", "zero_point")]
    if any(part is None for part in parts):  # eager left it as it was
        return ExpectedLayer(*form, "", "", "", "", -math.inf, -math.inf)
    qdata, scale, zero = map(from_torch, parts)
    times = max(1, columns // group // scale.shape[1])
    with np.errstate(over="ignore"):
        bias = -scale * (zero.astype(scale.dtype) + scale.dtype.type(1 << (bits - 1)))
    scales, biases = (_digest(np.repeat(part, times, axis=1)) for part in (scale, bias))
    noise = _noise(name, weight, bits, whole, checkpoint)
    packed = _digest(_packed(qdata, bits))
    return ExpectedLayer(*form, scale.dtype.name, packed, scales, biases, *noise)


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


def _constant(name: str, tensor: Any, required: bool) -> ExpectedConstant:
    if hasattr(tensor, "qdata"):
        tensor = tensor.dequantize()
    array = from_torch(tensor.detach())
    layouts = itertools.permutations(range(array.ndim))
    digests = dict.fromkeys(_digest(array.transpose(axes)) for axes in layouts)
    if array.ndim == 1 and array.dtype == BFLOAT16:
        # A norm that is computed in float32, as on XNNPACK, is stored so: the same numbers.
        digests[_digest(array.astype(np.float32))] = None
    others = _STANDS_FOR.get(name, ())
    return ExpectedConstant(name, array.dtype.name, array.shape, tuple(digests), required, others)


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest()
