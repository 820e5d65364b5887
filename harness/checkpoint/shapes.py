"""Every tensor of a checkpoint and its shape, derived from `params.json` alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.checkpoint.config import Config, TransformerConfig, read_config

__all__ = ["tensor_shapes"]

Shape = tuple[int, ...]

# Which linear layers `use_biases` gives a bias, in the flow head and in the codec.
_CODEC_BIASES = ("attention.wo", "feed_forward.w2")
_FLOW_BIASES = ("attention.wq", "attention.wv", *_CODEC_BIASES)


def tensor_shapes(params: Mapping[str, Any]) -> dict[str, Shape]:
    """Names and shapes of the tensors that `consolidated.safetensors` must hold.

    Names and layouts are those of `_map_checkpoint_key` in upstream's ``model.py``. Raises
    `CheckpointError` as `read_config` does.
    """
    config = read_config(params)
    return dict(sorted([*_decoder(config), *_flow(config), *_codec(config)]))


def _decoder(config: Config) -> Iterator[tuple[str, Shape]]:
    name, dim = "mm_audio_embeddings.", config.decoder.dim
    yield f"{name}tok_embeddings.weight", (config.vocab_size, dim)
    rows = config.audio_embedding_rows
    yield f"{name}audio_codebook_embeddings.embeddings.weight", (rows, dim)
    for layer in range(config.decoder.n_layers):
        yield from _layer(f"layers.{layer}.", config.decoder)
    yield "norm.weight", (dim,)


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
        yield from _layer(f"{name}layers.{layer}.", flow, _FLOW_BIASES)


def _codec(config: Config) -> Iterator[tuple[str, Shape]]:
    name, codec = "audio_tokenizer.", config.codec
    stage, size = codec.stage, config.semantic_size
    yield f"{name}quantizer.semantic_codebook.cluster_usage", (size,)
    yield f"{name}quantizer.semantic_codebook.embedding_sum", (size, codec.semantic_dim)
    block, width = 0, codec.semantic_dim + config.acoustic_dim
    for layers, kernel, stride in zip(codec.lengths, codec.kernels, codec.strides, strict=True):
        # Upstream leaves out a convolution that would do nothing, but never the first.
        if block == 0 or kernel != 1 or stride != 1:
            conv = f"{name}decoder_blocks.{block}.conv."
            yield from _conv(conv, (stage.dim, width, kernel), codec.weight_norm)
            block, width = block + 1, stage.dim
        for layer in range(layers):
            at = f"{name}decoder_blocks.{block}.layers.{layer}."
            yield from _layer(at, stage, _CODEC_BIASES)
            yield f"{at}attention.q_norm.weight", (stage.n_heads * stage.head_dim,)
            yield f"{at}attention.k_norm.weight", (stage.n_kv_heads * stage.head_dim,)
            if codec.layer_scale:
                yield f"{at}attention_scale", (stage.dim,)
                yield f"{at}ffn_scale", (stage.dim,)
        block += 1
    shape = (codec.patch_size, stage.dim, codec.patch_kernel)
    yield from _conv(f"{name}output_proj.conv.", shape, codec.weight_norm)


def _layer(
    name: str, stack: TransformerConfig, biases: tuple[str, ...] = ()
) -> Iterator[tuple[str, Shape]]:
    queries, keys = stack.n_heads * stack.head_dim, stack.n_kv_heads * stack.head_dim
    for linear, shape in (
        ("attention.wq", (queries, stack.dim)),
        ("attention.wk", (keys, stack.dim)),
        ("attention.wv", (keys, stack.dim)),
        ("attention.wo", (stack.dim, queries)),
        ("feed_forward.w1", (stack.hidden_dim, stack.dim)),
        ("feed_forward.w2", (stack.dim, stack.hidden_dim)),
        ("feed_forward.w3", (stack.hidden_dim, stack.dim)),
    ):
        yield f"{name}{linear}.weight", shape
        if stack.use_biases and linear in biases:
            yield f"{name}{linear}.bias", shape[:1]
    yield f"{name}attention_norm.weight", (stack.dim,)
    yield f"{name}ffn_norm.weight", (stack.dim,)


def _conv(name: str, shape: Shape, weight_norm: bool) -> Iterator[tuple[str, Shape]]:
    """A convolution's weight, or its weight-norm pair: length of each row, and direction."""
    if weight_norm:
        yield f"{name}parametrizations.weight.original0", (shape[0], 1, 1)
        yield f"{name}parametrizations.weight.original1", shape
    else:
        yield f"{name}weight", shape
