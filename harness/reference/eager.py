"""Upstream's eager model behind the executor's shape: numpy in, numpy out, named states."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn

from harness.arrays import Array
from harness.errors import InputError, one_of
from harness.fingerprint import Fingerprint
from harness.reference.disputed import codec_under
from harness.reference.quiet import without_upstream_chatter
from harness.reference.semantics import EXECUTORCH, Semantics

__all__ = ["EagerModel"]

_Caches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class _Method:
    """How to run one method, and its inputs' names, types and ranks (``"float"``: the model's)."""

    forward: Callable[..., Tensor]
    inputs: tuple[tuple[str, str, int], ...]


class EagerModel:
    """The six methods of upstream's unmodified modules, under ``torch.inference_mode``.

    Each named state has a KV cache of its own, which stands in for the model's buffers during
    a call only: the model's own buffers are left as they were.

    Parameters
    ----------
    model
        As `harness.checkpoint.loading.load_model` returns it, or its float64 twin. Inputs of
        floating point must have its type or one that converts to it exactly.
    semantics
        What its codec does where implementations differ; see `codec_under`.
    dtype
        In which it computes, where its weights do not tell.
    """

    def __init__(
        self,
        model: Any,
        semantics: Semantics = EXECUTORCH,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model = model
        # A norm's: matrices may be quantised, or narrower in memory than they compute.
        self._dtype: torch.dtype = dtype or model.decoder.norm.weight.dtype
        self._states: dict[str, _Caches] = {}
        flow = model.flow_head
        self._methods = {
            "token_embedding": _Method(model.decoder.tok_embeddings, (("token_ids", "int", 2),)),
            "audio_token_embedding": _Method(
                model.audio_token_embedding.forward, (("codes", "int", 3),)
            ),
            "text_decoder": _Method(
                model.decoder.forward,
                (("input_embeds", "float", 3), ("cache_position", "int", 1)),
            ),
            "semantic_head": _Method(flow.semantic_logits, (("hidden", "float", 2),)),
            "predict_velocity": _Method(
                flow.predict_velocity,
                (("x_t", "float", 2), ("t_idx", "int", 1), ("hidden", "float", 2)),
            ),
            "codec": _Method(
                codec_under(model.codec_decoder, semantics).forward, (("codes", "int", 3),)
            ),
        }

    @property
    def fingerprint(self) -> Fingerprint:
        """Which torch ran, on what processor, in which type."""
        return Fingerprint(
            executor="eager",
            device=platform.processor() or platform.machine(),
            versions={"torch": torch.__version__},
            notes=(str(self._dtype).removeprefix("torch."),),
        )

    def methods(self) -> tuple[str, ...]:
        """The six methods' names, in their fixed order."""
        return tuple(self._methods)

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once.

        Raises
        ------
        InputError
            No such method; wrong number, type or rank of inputs; positions beyond the KV
            cache; ids beyond a table.
        """
        one_of("method", method, self._methods)
        declared = self._methods[method].inputs
        if len(inputs) != len(declared):
            raise InputError(f"{method} takes {len(declared)} inputs (got {len(inputs)})")
        tensors = [
            self._tensor(f"{method} input {name}", value, kind, rank)
            for value, (name, kind, rank) in zip(inputs, declared, strict=True)
        ]
        if method == "text_decoder":
            self._check_positions(*tensors)
        with torch.inference_mode(), self._caches_of(state), without_upstream_chatter():
            try:
                output = self._methods[method].forward(*tensors)
            except (IndexError, RuntimeError) as error:
                shapes = ", ".join(str(value.shape) for value in inputs)
                raise InputError(
                    f"{method} refuses inputs of shape {shapes}: {str(error).splitlines()[0]}"
                ) from error
        return [_to_array(output)]

    def reset(self, state: str = "default") -> None:
        """Set the KV cache of `state` back to zero."""
        self._states.pop(state, None)

    def _tensor(self, what: str, value: Array, kind: str, rank: int) -> Tensor:
        if value.ndim != rank:
            raise InputError(f"{what} must have rank {rank} (got shape {value.shape})")
        tensor = _to_tensor(what, value)
        wanted = torch.int64 if kind == "int" else self._dtype
        if tensor.dtype != wanted and torch.promote_types(tensor.dtype, wanted) != wanted:
            raise InputError(f"{what} must be {wanted} (got {tensor.dtype})".replace("torch.", ""))
        if (kind == "int") == tensor.is_floating_point():
            raise InputError(f"{what} must be {wanted} (got {tensor.dtype})".replace("torch.", ""))
        return tensor.to(wanted)

    def _check_positions(self, embeds: Tensor, position: Tensor) -> None:
        length, capacity = embeds.shape[1], self.model.config.max_seq_len
        if len(position) != length or not length:
            raise InputError(
                f"text_decoder needs one cache_position a token (got {len(position)} for {length})"
            )
        start = int(position[0])
        if not torch.equal(position, torch.arange(start, start + length)):
            raise InputError(f"cache_position must count up by one (got {position.tolist()})")
        if start < 0 or start + length > capacity:
            raise InputError(
                f"text_decoder would write positions {start}..{start + length - 1} of a KV "
                f"cache of {capacity}: shorten the text or load with a larger max_seq_len"
            )

    @contextmanager
    def _caches_of(self, state: str) -> Iterator[None]:
        """Put the buffers of `state` in the place of the model's, and take them out again."""
        holders: list[nn.Module] = [layer.attention.kv_cache for layer in self.model.decoder.layers]
        own: _Caches = [(holder.k_cache, holder.v_cache) for holder in holders]
        if state not in self._states:
            self._states[state] = [
                (torch.zeros_like(keys), torch.zeros_like(values)) for keys, values in own
            ]
        _install(holders, self._states[state])
        try:
            yield
        finally:
            _install(holders, own)


def _install(holders: Sequence[nn.Module], caches: _Caches) -> None:
    for holder, (keys, values) in zip(holders, caches, strict=True):
        holder.k_cache, holder.v_cache = keys, values


def _to_tensor(what: str, value: Array) -> Tensor:
    contiguous = np.asarray(value, order="C")
    if contiguous.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(contiguous.view(np.int16).copy()).view(torch.bfloat16)
    try:
        return torch.from_numpy(contiguous.copy())
    except TypeError as error:
        raise InputError(f"{what} has a type that torch does not know: {value.dtype}") from error


def _to_array(tensor: Tensor) -> Array:
    """A copy that the next call cannot write to."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return tensor.numpy().copy()
