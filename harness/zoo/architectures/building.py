"""A tiny model of an architecture and inputs for it; the same bytes on every platform."""

from __future__ import annotations

import copy
import importlib.util
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.checkpoint.draws import normal, uniform
from harness.errors import UnavailableError
from harness.zoo.architectures.architecture import SIZES, Architecture

__all__ = ["build", "draw_weights", "inputs_of", "require_transformers"]

_SEED = 12

_LENGTH = 6
"""Tokens of a text."""


def require_transformers() -> None:
    """Raise `UnavailableError` unless transformers is here, with its exporters."""
    found = importlib.util.find_spec("transformers")
    if found is None or importlib.util.find_spec("transformers.exporters") is None:
        raise UnavailableError(
            "architectures need transformers with its exporters, in an environment of their own: "
            "`nox -s zoo` makes it, or `python -m pip install --group zoo`"
        )


def build(architecture: Architecture, dtype: torch.dtype, seed: int = _SEED) -> nn.Module:
    """The model, with weights of this type that Philox drew.

    `seed` is torch's, for what is no weight and still drawn.
    """
    import transformers

    known = transformers.AutoConfig.for_model(architecture.model_type)
    sizes = {**{n: size for n, size in SIZES.items() if _fits(known, n, size)}, **architecture.own}
    given = {name: copy.deepcopy(size) for name, size in sizes.items() if size is not ...}
    config = transformers.AutoConfig.for_model(architecture.model_type, **given)
    kind = getattr(transformers, architecture.model)
    made = []
    for number in (seed, seed + 1):
        torch.manual_seed(number)
        made.append(kind._from_config(copy.deepcopy(config), dtype=dtype).eval())
    draw_weights(*made)
    return made[0]


def _fits(config: Any, name: str, size: Any) -> bool:
    """Whether a configuration knows the name, and takes one number or several there as `size`."""
    several = (list, tuple)
    default = getattr(config, name, ...)
    return default is not ... and isinstance(default, several) == isinstance(size, several)


def draw_weights(model: nn.Module, twin: nn.Module) -> None:
    """Give each parameter numbers of its own, so that no two weights can be confused.

    Matrices keep the size of what they multiply. Vectors move by a tenth from what the module
    begins with: gains from 1, biases from 0. What `twin`, the same module made with other random
    numbers, begins with otherwise, buffers too, is drawn alone.
    """
    others = {**dict(twin.named_parameters()), **dict(twin.named_buffers())}
    weights = dict(model.named_parameters())
    for name, tensor in (*weights.items(), *model.named_buffers()):
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        same = torch.equal(tensor, others[name])
        if name not in weights and same and not name.endswith(("running_mean", "running_var")):
            continue
        matrix = tensor.dim() > 1
        spread = 1 / math.sqrt(math.prod(tensor.shape[1:])) if matrix else 0.1
        shape = tuple(tensor.shape) or (1,)
        drawn = np.concatenate(list(normal(_SEED, name, shape, spread)))
        values = torch.from_numpy(drawn).reshape(tensor.shape)
        if name.endswith("running_var"):
            values = values.abs()
        with torch.no_grad():
            tensor.copy_(tensor + values if same and not matrix else values)


def inputs_of(architecture: Architecture, dtype: torch.dtype) -> dict[str, Any]:
    """What the model is called with, or asked to continue."""
    if architecture.inputs:
        return {
            name.removeprefix("ids "): _ids(name, shape)
            if name.startswith("ids ")
            else _values(name, shape, dtype)
            for name, shape in architecture.inputs.items()
        }
    if architecture.kind == "vision":
        return {"pixel_values": _values("pixel_values", (1, 3, 32, 32), dtype)}
    if architecture.kind == "audio":
        return {"input_values": _values("input_values", (1, 400), dtype)}
    ids = _ids("input_ids", (2, _LENGTH))
    mask = torch.ones_like(ids)
    if architecture.padded > 0:
        mask[0, -architecture.padded :] = 0
    elif architecture.padded < 0:
        mask[0, : -architecture.padded] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def _ids(name: str, shape: tuple[int, ...]) -> Tensor:
    """Token ids that are no special token."""
    drawn = uniform(_SEED, name, math.prod(shape), 3, SIZES["vocab_size"] - 1)
    return torch.from_numpy(drawn.astype(np.int64)).reshape(shape)


def _values(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    drawn = uniform(_SEED, name, math.prod(shape), -1.0, 1.0)
    return torch.from_numpy(drawn).reshape(shape).to(dtype)
