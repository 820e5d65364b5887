"""`params.json`: what is read, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.checkpoint import PRESETS, read_config
from harness.errors import CheckpointError


@pytest.fixture
def params() -> dict[str, Any]:
    return copy.deepcopy(PRESETS["tiny"].params())


def test_reads_the_sizes_of_tiny(params: dict[str, Any]) -> None:
    config = read_config(params)
    assert (config.decoder.dim, config.decoder.n_heads, config.decoder.n_kv_heads) == (256, 6, 2)
    assert (config.n_codebooks, config.acoustic_levels, config.n_decoding_steps) == (37, 21, 7)
    assert (config.downsample_factor, config.sampling_rate) == (1920, 24000)
    assert config.padded_semantic_size == 640
    assert config.voices == ("neutral_female", "casual_male")


def test_query_width_differs_from_dim_so_that_a_mix_up_shows(params: dict[str, Any]) -> None:
    config = read_config(params)
    for stack in (config.decoder, config.flow):
        assert stack.n_heads * stack.head_dim != stack.dim


@pytest.mark.parametrize(
    "path",
    [
        "dim",
        "rope_theta",
        "multimodal.audio_model_args.semantic_codebook_size",
        "multimodal.audio_model_args.acoustic_transformer_args.hidden_dim",
        "multimodal.audio_tokenizer_args.decoder_convs_strides_str",
        "multimodal.audio_tokenizer_args",
    ],
)
def test_names_a_missing_key(params: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    holder = params
    for parent in parents:
        holder = holder[parent]
    del holder[last]
    with pytest.raises(CheckpointError, match=rf"params\.json has no {path}"):
        read_config(params)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dim", "256", "dim must be a positive integer"),
        ("n_layers", 0, "n_layers must be a positive integer"),
        ("n_layers", True, "n_layers must be a positive integer"),
        ("norm_eps", -1e-5, "norm_eps must be a positive number"),
        ("n_kv_heads", 4, "n_heads must be a multiple of n_kv_heads"),
        ("dim", 384, "acoustic_transformer_args dim must equal dim 384"),
        ("model_type", "mistral", "model_type must be 'voxtral_tts'"),
    ],
)
def test_refuses_a_senseless_value(
    params: dict[str, Any], key: str, value: object, message: str
) -> None:
    params[key] = value
    with pytest.raises(CheckpointError, match=message):
        read_config(params)


def test_refuses_stage_lists_of_different_lengths(params: dict[str, Any]) -> None:
    params["multimodal"]["audio_tokenizer_args"]["decoder_convs_strides_str"] = "1,2,2"
    with pytest.raises(CheckpointError, match=r"same number of stages \(got 4, 4, 3\)"):
        read_config(params)


def test_refuses_a_stage_list_that_is_no_list_of_numbers(params: dict[str, Any]) -> None:
    params["multimodal"]["audio_tokenizer_args"]["decoder_convs_kernels_str"] = "3,4,x,4"
    with pytest.raises(CheckpointError, match="positive integers with commas between"):
        read_config(params)
