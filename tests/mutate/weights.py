"""Wrong constants in a file: float weights, packed ones, their scales, tables, and metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.methods import CODEC, MODEL
from harness.pte.dtypes import SCALAR_TYPES
from tests.mutate.bench import Bench, Fault, Trial
from tests.mutate.pte import Graph

__all__ = ["METADATA", "metadata_faults", "weight_faults"]

Damage = Callable[[Array], Array]


def _element(factor: float) -> Damage:
    def damaged(w: Array) -> Array:
        w = w.copy()
        at = int(np.argmax(np.abs(w.astype(np.float32))))
        w.flat[at] = w.flat[at] * w.dtype.type(factor)
        return w

    return damaged


def _last_bit(w: Array) -> Array:
    bits = w.copy().view(f"u{w.itemsize}")
    bits.flat[w.size // 2] ^= 1
    return bits.view(w.dtype)


def _rows_swapped(w: Array) -> Array:
    w = w.copy()
    w[[0, 1]] = w[[1, 0]]
    return w


def _row_zeroed(w: Array) -> Array:
    w = w.copy()
    w[len(w) // 2] = 0
    return w


def _nibble(w: Array) -> Array:
    w = w.copy()
    w.flat[w.size // 2] ^= w.dtype.type(1)
    return w


def _one_more(w: Array) -> Array:
    w = w.copy()
    w.flat[w.size // 2] += 1
    return w


FLOATS: Mapping[str, Damage] = {
    "one element × 1.01": _element(1.01),
    "whole × 1.01": lambda w: w * w.dtype.type(1.01),
    "a last bit": _last_bit,
    "two rows swapped": _rows_swapped,
    "a row zeroed": _row_zeroed,
}
PACKED: Mapping[str, Damage] = {
    "one value's last bit": _nibble,
    "two rows swapped": _rows_swapped,
}
SCALES: Mapping[str, Damage] = {
    "one scale × 1.01": _element(1.01),
    "all scales doubled": lambda w: w * w.dtype.type(2),
    "a scale's last bit": _last_bit,
    "two rows of scales swapped": _rows_swapped,
}
INTEGERS: Mapping[str, Damage] = {"one entry + 1": _one_more}


def weight_faults(bench: Bench, method: str) -> Iterator[Fault]:
    """Every damage to one constant of each sort: in bf16 the last, elsewhere the first."""
    graph = bench.graph(method)
    sorts: dict[tuple[str, str, int], list[int]] = {}
    for index in range(graph.raw.num_constant_tensors):
        meta = graph.raw.tensor_meta[index]
        if meta.shape:
            dtype = SCALAR_TYPES[meta.scalar_type].numpy
            sort = _sort(graph, index, dtype)
            sorts.setdefault((*sort, min(len(meta.shape), 2)), []).append(index)
    for (kind, sort, rank), found in sorts.items():
        index = found[-1 if bench.precision == "bf16" else 0]
        for label, damage in _DAMAGES[sort].items():
            yield Fault(
                f"{method} {sort} of rank {rank}: {label}", kind, method,
                partial(_run, method=method, index=index, damage=damage),
            )  # fmt: skip


_DAMAGES = {"float": FLOATS, "packed": PACKED, "scales": SCALES, "integer": INTEGERS}


def _sort(graph: Graph, index: int, dtype: Any) -> tuple[str, str]:
    """Kind of fault, and which damages apply."""
    if dtype.kind == "u":
        return "quantisation", "packed"
    if dtype.kind in "ib":
        return "weight", "integer" if dtype.kind == "i" and dtype.itemsize > 1 else "packed"
    packed = (graph.constant(index) or "").endswith(".original1")
    return ("quantisation", "scales") if packed else ("weight", "float")


def _shape(graph: Graph, index: int) -> tuple[int, ...]:
    return tuple(dim.value for dim in graph.raw.tensor_meta[index].shape)


def _run(bench: Bench, method: str, index: int, damage: Damage) -> Trial:
    graph, pte = bench.graph(method), bench.pte_of(method)
    key, shape = graph.constant(index), _shape(graph, index)
    assert key is not None
    dtype = SCALAR_TYPES[graph.raw.tensor_meta[index].scalar_type].numpy
    content = pte.weight(key)
    weight = np.frombuffer(content, dtype)[: prod(shape)].reshape(shape)
    wrong = np.ascontiguousarray(damage(weight)).tobytes()
    assert wrong != content, "the damage changed nothing"
    return Trial(bench.on_file(method, pte.with_weight(key, wrong)), module=key.split("/")[-1])


METADATA: Mapping[str, Mapping[str, int]] = {
    MODEL: {
        "n_decoding_steps": 8, "cfg_alpha_x100": 125, "sample_rate": 22050, "end_audio_code": 2,
        "empty_audio_code": 1, "n_special_tokens": 3, "voice_embed_len": 13, "dim": 257,
        "streaming_left_context": 0, "streaming_chunk_frames": 50, "streaming_initial_chunk": 6,
        "max_seq_len": 127, "audio_token_id": 25, "begin_audio_token_id": 24,
        "text_to_audio_token_id": 35, "repeat_audio_text_token_id": 36, "n_acoustic_codebook": 35,
        "acoustic_levels": 22, "semantic_codebook_size": 511, "lm_input_is_bf16": 2,
        "downsample_factor": 960, "n_codebooks": 36, "vocab_size": 8191, "streaming": 1,
    },
    CODEC: {
        "max_codec_frames": 41, "downsample_factor": 960, "n_codebooks": 36, "sample_rate": 22050,
        "codec_supports_exact_frames": 1,
    },
}  # fmt: skip
"""A wrong value of every metadata method."""


def metadata_faults() -> Iterator[Fault]:
    """Every metadata method with a wrong value, which upstream's runner would believe."""
    for artifact, wrong in METADATA.items():
        for name, value in wrong.items():
            yield Fault(
                f"{artifact} {name} = {value}", "metadata", artifact,
                partial(_run_metadata, artifact=artifact, name=name, value=value),
            )  # fmt: skip


def _run_metadata(bench: Bench, artifact: str, name: str, value: int) -> Trial:
    method = "semantic_head" if artifact == MODEL else "codec"
    return Trial(bench.on_file(method, bench.pte(artifact).with_metadata(name, value)))
