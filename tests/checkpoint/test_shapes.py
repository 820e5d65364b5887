"""The tensors that a checkpoint must hold, derived from its parameters."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.checkpoint import PRESETS, tensor_shapes

# The parts of the published 4B model's params.json that shape its tensors.
PUBLISHED: dict[str, Any] = {
    "dim": 3072,
    "n_layers": 26,
    "head_dim": 128,
    "hidden_dim": 9216,
    "n_heads": 32,
    "n_kv_heads": 8,
    "rope_theta": 1000000.0,
    "norm_eps": 1e-05,
    "vocab_size": 131072,
    "max_seq_len": 65536,
    "model_type": "voxtral_tts",
    "multimodal": {
        "audio_model_args": {
            "semantic_codebook_size": 8192,
            "acoustic_codebook_size": 21,
            "n_acoustic_codebook": 36,
            "audio_encoding_args": {"sampling_rate": 24000, "frame_rate": 12.5},
            "audio_token_id": 24,
            "begin_audio_token_id": 25,
            "acoustic_transformer_args": {
                "input_dim": 3072,
                "dim": 3072,
                "n_layers": 3,
                "head_dim": 128,
                "hidden_dim": 9216,
                "n_heads": 32,
                "n_kv_heads": 8,
                "use_biases": False,
            },
        },
        "audio_tokenizer_args": {
            "pretransform_patch_size": 240,
            "semantic_dim": 256,
            "conv_weight_norm": True,
            "dim": 1024,
            "hidden_dim": 4096,
            "head_dim": 128,
            "n_heads": 8,
            "n_kv_heads": 8,
            "use_biases": False,
            "layer_scale": True,
            "decoder_transformer_lengths_str": "2,2,2,2",
            "decoder_convs_kernels_str": "3,4,4,4",
            "decoder_convs_strides_str": "1,2,2,2",
            "voice": {"casual_female": 0, "casual_male": 1},
        },
    },
}


def test_the_published_model_has_386_tensors() -> None:
    assert len(tensor_shapes(PUBLISHED)) == 386


def test_the_published_model_has_four_billion_parameters() -> None:
    parameters = sum(math.prod(shape) for shape in tensor_shapes(PUBLISHED).values())
    assert 3.9e9 < parameters < 4.2e9


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("layers.25.attention.wq.weight", (4096, 3072)),
        ("layers.0.attention.wk.weight", (1024, 3072)),
        ("layers.0.attention.wo.weight", (3072, 4096)),
        ("layers.0.feed_forward.w2.weight", (3072, 9216)),
        ("mm_audio_embeddings.tok_embeddings.weight", (131072, 3072)),
        ("mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight", (9088, 3072)),
        ("acoustic_transformer.semantic_codebook_output.weight", (8320, 3072)),
        ("acoustic_transformer.input_projection.weight", (3072, 36)),
        ("acoustic_transformer.acoustic_codebook_output.weight", (36, 3072)),
        (
            "audio_tokenizer.decoder_blocks.0.conv.parametrizations.weight.original1",
            (1024, 292, 3),
        ),
        ("audio_tokenizer.decoder_blocks.6.conv.parametrizations.weight.original0", (1024, 1, 1)),
        (
            "audio_tokenizer.decoder_blocks.6.conv.parametrizations.weight.original1",
            (1024, 1024, 4),
        ),
        ("audio_tokenizer.output_proj.conv.parametrizations.weight.original1", (240, 1024, 7)),
        ("audio_tokenizer.decoder_blocks.7.layers.1.attention.q_norm.weight", (1024,)),
        ("audio_tokenizer.quantizer.semantic_codebook.embedding_sum", (8192, 256)),
    ],
)
def test_published_shapes(name: str, shape: tuple[int, ...]) -> None:
    assert tensor_shapes(PUBLISHED)[name] == shape


def test_the_inverse_frequencies_are_computed_not_stored() -> None:
    assert not any("inv_freq" in name for name in tensor_shapes(PUBLISHED))


@pytest.mark.parametrize(("preset", "count"), [("tiny", 122), ("small", 188), ("full", 386)])
def test_presets_have_the_published_kinds_of_tensors(preset: str, count: int) -> None:
    shapes = tensor_shapes(PRESETS[preset].params())
    assert len(shapes) == count
    assert {_kind(name) for name in shapes} == {_kind(name) for name in tensor_shapes(PUBLISHED)}


def test_full_has_the_published_shapes() -> None:
    assert tensor_shapes(PRESETS["full"].params()) == tensor_shapes(PUBLISHED)


def test_biases_appear_when_the_parameters_ask_for_them() -> None:
    params = PRESETS["tiny"].params()
    params["multimodal"]["audio_model_args"]["acoustic_transformer_args"]["use_biases"] = True
    shapes = tensor_shapes(params)
    assert shapes["acoustic_transformer.layers.1.attention.wv.bias"] == (128,)
    assert shapes["acoustic_transformer.semantic_codebook_output.bias"] == (640,)


def test_plain_convolutions_replace_weight_norm_pairs_when_the_parameters_say_so() -> None:
    params = PRESETS["tiny"].params()
    params["multimodal"]["audio_tokenizer_args"]["conv_weight_norm"] = False
    shapes = tensor_shapes(params)
    assert shapes["audio_tokenizer.output_proj.conv.weight"] == (240, 128, 7)
    assert not any("parametrizations" in name for name in shapes)


def _kind(name: str) -> str:
    return ".".join("N" if part.isdecimal() else part for part in name.split("."))
