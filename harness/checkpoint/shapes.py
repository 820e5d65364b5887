"""Every tensor of a checkpoint and its shape, derived from `params.json` alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.checkpoint.config import CodecConfig, Config, TransformerConfig, read_config

__all__ = ["tensor_shapes"]

Shape = tuple[int, ...]


def tensor_shapes(params: Mapping[str, Any]) -> dict[str, Shape]:
    """Names and shapes of the tensors that `consolidated.safetensors` must hold.

    Parameters
    ----------
    params
        Contents of `params.json`.

    Returns
    -------
    dict
        Published tensor name to shape; 386 entries for the published 4B model.

    Raises
    ------
    CheckpointError
        `params` lacks a key or holds one that makes no sense.

    References
    ----------
    Names and layouts: ``executorch/examples/models/voxtral_tts/model.py`` (`_map_checkpoint_key`
    and the modules it maps to).
    """
    config = read_config(params)
    return dict(sorted(_all(config)))


def _all(config: Config) -> Iterator[tuple[str, Shape]]:
    dim = config.decoder.dim
    yield "mm_audio_embeddings.tok_embeddings.weight", (config.vocab_size, dim)
    yield (
        "mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight",
        (config.audio_embedding_rows, dim),
    )
    for layer in range(config.decoder.n_layers):
        yield from _layer(f"layers.{layer}.", config.decoder)
    yield "norm.weight", (dim,)
    yield from _flow(config)
    yield from _codec(config.codec, config.semantic_size, config.acoustic_dim)


def _flow(config: Config) -> Iterator[tuple[str, Shape]]:
    name, flow = "acoustic_transformer.", config.flow
    yield f"{name}input_projection.weight", (flow.dim, config.acoustic_dim)
    yield f"{name}time_projection.weight", (flow.dim, flow.dim)
    yield f"{name}llm_projection.weight", (flow.dim, config.decoder.dim)
    yield f"{name}semantic_codebook_output.weight", (config.padded_semantic_size, flow.dim)
    if flow.use_biases:
        yield f"{name}semantic_codebook_output.bias", (config.padded_semantic_size,)
    yield f"{name}acoustic_codebook_output.weight", (config.acoustic_dim, flow.dim)
    yield f"{name}norm.weight", (flow.dim,)
    for layer in range(flow.n_layers):
        yield from _layer(f"{name}layers.{layer}.", flow)
        if flow.use_biases:
            yield f"{name}layers.{layer}.attention.wq.bias", (flow.n_heads * flow.head_dim,)
            yield f"{name}layers.{layer}.attention.wv.bias", (flow.n_kv_heads * flow.head_dim,)
            yield f"{name}layers.{layer}.attention.wo.bias", (flow.dim,)
            yield f"{name}layers.{layer}.feed_forward.w2.bias", (flow.dim,)


def _codec(
    codec: CodecConfig, semantic_size: int, acoustic_dim: int
) -> Iterator[tuple[str, Shape]]:
    name, dim = "audio_tokenizer.", codec.stage.dim
    yield f"{name}quantizer.semantic_codebook.cluster_usage", (semantic_size,)
    yield (
        f"{name}quantizer.semantic_codebook.embedding_sum",
        (semantic_size, codec.semantic_dim),
    )
    block = 0
    for stage, (layers, kernel, stride) in enumerate(
        zip(codec.lengths, codec.kernels, codec.strides, strict=True)
    ):
        if stage == 0:
            shape: Shape = (dim, codec.semantic_dim + acoustic_dim, kernel)
            yield from _conv(f"{name}decoder_blocks.{block}.conv.", shape, codec.weight_norm)
            block += 1
        elif kernel != 1 or stride != 1:  # upstream leaves out a convolution that would do nothing
            shape = (dim, dim, kernel)
            yield from _conv(f"{name}decoder_blocks.{block}.conv.", shape, codec.weight_norm)
            block += 1
        for layer in range(layers):
            yield from _codec_layer(f"{name}decoder_blocks.{block}.layers.{layer}.", codec)
        block += 1
    shape = (codec.patch_size, dim, codec.patch_kernel)
    yield from _conv(f"{name}output_proj.conv.", shape, codec.weight_norm)


def _codec_layer(name: str, codec: CodecConfig) -> Iterator[tuple[str, Shape]]:
    stage = codec.stage
    yield from _layer(name, stage)
    yield f"{name}attention.q_norm.weight", (stage.n_heads * stage.head_dim,)
    yield f"{name}attention.k_norm.weight", (stage.n_kv_heads * stage.head_dim,)
    if codec.layer_scale:
        yield f"{name}attention_scale", (stage.dim,)
        yield f"{name}ffn_scale", (stage.dim,)
    if stage.use_biases:
        yield f"{name}attention.wo.bias", (stage.dim,)
        yield f"{name}feed_forward.w2.bias", (stage.dim,)


def _layer(name: str, stack: TransformerConfig) -> Iterator[tuple[str, Shape]]:
    queries, keys = stack.n_heads * stack.head_dim, stack.n_kv_heads * stack.head_dim
    yield f"{name}attention.wq.weight", (queries, stack.dim)
    yield f"{name}attention.wk.weight", (keys, stack.dim)
    yield f"{name}attention.wv.weight", (keys, stack.dim)
    yield f"{name}attention.wo.weight", (stack.dim, queries)
    yield f"{name}attention_norm.weight", (stack.dim,)
    yield f"{name}feed_forward.w1.weight", (stack.hidden_dim, stack.dim)
    yield f"{name}feed_forward.w2.weight", (stack.dim, stack.hidden_dim)
    yield f"{name}feed_forward.w3.weight", (stack.hidden_dim, stack.dim)
    yield f"{name}ffn_norm.weight", (stack.dim,)


def _conv(name: str, shape: Shape, weight_norm: bool) -> Iterator[tuple[str, Shape]]:
    """A convolution's weight, or its weight-norm pair: length of each row, and direction."""
    if weight_norm:
        yield f"{name}parametrizations.weight.original0", (shape[0], 1, 1)
        yield f"{name}parametrizations.weight.original1", shape
    else:
        yield f"{name}weight", shape
