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


AUDIO = "multimodal.audio_model_args"
FLOW = f"{AUDIO}.acoustic_transformer_args"
CODEC = "multimodal.audio_tokenizer_args"


def put(params: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        params = params[parent]
    params[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dim", "256", "dim must be an integer from 1 to 1,048,576 (got '256')"),
        ("dim", None, "dim must be an integer from 1 to 1,048,576 (got None)"),
        ("dim", 256.0, "dim must be an integer from 1 to 1,048,576 (got 256.0)"),
        pytest.param("dim", 10**5000, "(got an integer of 16,610 bits)", id="5,000 digits"),
        ("n_layers", 0, "n_layers must be an integer from 1 to 1,000 (got 0)"),
        ("n_layers", True, "n_layers must be an integer from 1 to 1,000 (got True)"),
        ("n_layers", 10**7, "n_layers must be an integer from 1 to 1,000 (got 10000000)"),
        ("norm_eps", -1e-5, "norm_eps must be a number above 0 and up to 1 (got -1e-05)"),
        ("norm_eps", float("nan"), "norm_eps must be a number above 0 and up to 1 (got nan)"),
        ("norm_eps", float("inf"), "norm_eps must be a number above 0 and up to 1 (got inf)"),
        ("norm_eps", "x" * 10**6, "norm_eps must be a number above 0 and up to 1 (got 'xxx"),
        ("n_kv_heads", 4, "n_heads must be a multiple of n_kv_heads (got 6 and 4)"),
        ("head_dim", 63, "head_dim must be even (got 63)"),
        ("dim", 384, f"{FLOW}.dim must equal dim 384 (got 256)"),
        ("model_type", "mistral", "model_type must be 'voxtral_tts' (got 'mistral')"),
        ("model_type", ["voxtral_tts"], "model_type must be 'voxtral_tts' (got ['voxtral_tts'])"),
        ("multimodal", [], "multimodal must be an object (got [])"),
        (AUDIO, None, f"{AUDIO} must be an object (got None)"),
        (f"{AUDIO}.codebook_sizes", [512, 21], f"{AUDIO}.codebook_sizes must be integers"),
        (f"{AUDIO}.codebook_sizes", "512", f"{AUDIO}.codebook_sizes must name one semantic"),
        (f"{AUDIO}.audio_token_id", -1, f"{AUDIO}.audio_token_id must be an integer from 0"),
        (
            f"{FLOW}.n_decoding_steps",
            10**6,
            f"{FLOW}.n_decoding_steps must be an integer from 1 to",
        ),
        (f"{FLOW}.norm_eps", "16", f"{FLOW}.norm_eps must be a number above 0"),
        (f"{CODEC}.norm_eps", None, f"{CODEC}.norm_eps must be a number above 0"),
        (f"{CODEC}.norm_eps", "16", f"{CODEC}.norm_eps must be a number above 0"),
        (f"{CODEC}.attn_sliding_window_size", 2**70, f"{CODEC}.attn_sliding_window_size must be"),
        (f"{CODEC}.attn_sliding_window_size", "16", f"{CODEC}.attn_sliding_window_size must be"),
        (f"{CODEC}.causal", "yes", f"{CODEC}.causal must be true or false (got 'yes')"),
        (
            f"{CODEC}.decoder_transformer_lengths_str",
            f"{10**9},1,1,1",
            "must be integers from 1 to 1,000",
        ),
        (
            f"{CODEC}.decoder_transformer_lengths_str",
            [2, 1, 1, 1],
            "must be integers from 1 to 1,000",
        ),
        (
            f"{CODEC}.decoder_transformer_lengths_str",
            "9" * 5000,
            "must be integers from 1 to 1,000",
        ),
        (
            f"{CODEC}.decoder_convs_kernels_str",
            "3,4,x,4",
            "must be integers from 1 to 1,024 with commas",
        ),
        (
            f"{CODEC}.decoder_convs_strides_str",
            "1,2,²,2",
            "must be integers from 1 to 1,024 with commas",
        ),
        (f"{CODEC}.decoder_convs_strides_str", "1,900,900,900", "must be at most 65,536 samples"),
        (f"{CODEC}.decoder_convs_strides_str", "1,2,2", "same number of stages (got 4, 4, 3)"),
        (f"{CODEC}.voice", ["a"], f"{CODEC}.voice must be an object of up to 1,000 names"),
        (f"{CODEC}.voice", {"a": "0"}, f"{CODEC}.voice must be an object of up to 1,000 names"),
    ],
)
def test_refuses_a_senseless_value_in_one_sentence(
    params: dict[str, Any], path: str, value: object, message: str
) -> None:
    put(params, path, value)
    with pytest.raises(CheckpointError) as caught:
        read_config(params, "/real/params.json")
    assert str(caught.value).startswith("/real/params.json: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_codebook_sizes_take_the_place_of_the_single_keys(params: dict[str, Any]) -> None:
    put(params, f"{AUDIO}.codebook_sizes", ",".join(["640", *["9"] * 5]))
    config = read_config(params)
    assert (config.semantic_size, config.acoustic_levels, config.acoustic_dim) == (640, 9, 5)
