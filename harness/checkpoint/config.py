"""What `params.json` says, as checked numbers.

Upstream's loader falls back on the 4B model's sizes wherever a key is absent. Here a missing
key is an error, so that a truncated file cannot pass as another model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import CheckpointError

__all__ = ["CodecConfig", "Config", "TransformerConfig", "read_config"]

# Two special codes, EMPTY and END, precede the codes of every codebook.
N_SPECIAL_CODES = 2


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of one stack of attention and SwiGLU layers.

    Attributes
    ----------
    dim
        Width of the residual stream.
    n_layers
        Number of layers; in the codec, of one stage.
    n_heads, n_kv_heads, head_dim
        Query heads, key/value heads, and the width of each; `n_heads * head_dim` need not be
        `dim`.
    hidden_dim
        Inner width of the feed-forward block.
    use_biases
        Whether the layers carry the biases that the published model leaves out.
    """

    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    use_biases: bool = False


@dataclass(frozen=True)
class CodecConfig:
    """Sizes of the codec's decoder.

    Attributes
    ----------
    stage
        Sizes of each transformer stage; `n_layers` is that of the first one.
    lengths, kernels, strides
        Layers, convolution kernel and stride of each stage.
    patch_size
        Samples that the last convolution makes of one time step.
    patch_kernel
        Kernel of that convolution, 7 in upstream's code.
    semantic_dim
        Width of the semantic codebook's vectors.
    weight_norm, layer_scale
        Whether convolutions are weight-normed, and branches scaled.
    """

    stage: TransformerConfig
    lengths: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    patch_size: int
    semantic_dim: int
    weight_norm: bool
    layer_scale: bool
    patch_kernel: int = 7


@dataclass(frozen=True)
class Config:
    """The numbers of a Voxtral TTS checkpoint that shape its tensors and its speech.

    Attributes
    ----------
    decoder, flow, codec
        The language model, the flow-matching head, and the codec's decoder.
    vocab_size
        Rows of the text embedding.
    semantic_size
        Semantic codes, without the two special ones.
    acoustic_dim, acoustic_levels
        Acoustic codebooks a frame, and levels of each.
    n_decoding_steps
        Euler steps of the flow-matching solver.
    sampling_rate
        Samples a second, in Hz.
    audio_token_id, begin_audio_token_id, text_to_audio_token_id, repeat_audio_text_token_id
        Text tokens of the prompt's layout.
    voices
        Names of the preset voices, in the order of their ids.
    """

    decoder: TransformerConfig
    flow: TransformerConfig
    codec: CodecConfig
    vocab_size: int
    semantic_size: int
    acoustic_dim: int
    acoustic_levels: int
    n_decoding_steps: int
    sampling_rate: int
    audio_token_id: int
    begin_audio_token_id: int
    text_to_audio_token_id: int
    repeat_audio_text_token_id: int
    voices: tuple[str, ...]

    @property
    def n_codebooks(self) -> int:
        """One semantic codebook and the acoustic ones."""
        return 1 + self.acoustic_dim

    @property
    def downsample_factor(self) -> int:
        """Samples of waveform that one frame of codes becomes."""
        return self.codec.patch_size * math.prod(self.codec.strides)

    @property
    def padded_semantic_size(self) -> int:
        """Width of the semantic logits: codes and specials, padded to a multiple of 128."""
        return _pad_128(self.semantic_size + N_SPECIAL_CODES)

    @property
    def audio_embedding_rows(self) -> int:
        """Rows of the audio embedding: every codebook with its specials, padded likewise."""
        acoustic = self.acoustic_dim * (self.acoustic_levels + N_SPECIAL_CODES)
        return _pad_128(self.semantic_size + N_SPECIAL_CODES + acoustic)


def read_config(params: Mapping[str, Any]) -> Config:
    """Read the contents of `params.json`.

    Raises
    ------
    CheckpointError
        A key is missing, not of its type, not positive, or at odds with another.
    """
    model_type = params.get("model_type")
    if model_type != "voxtral_tts":
        raise CheckpointError(f"params.json: model_type must be 'voxtral_tts' (got {model_type!r})")
    audio, codec = "multimodal.audio_model_args", "multimodal.audio_tokenizer_args"
    config = Config(
        decoder=_transformer(params, ""),
        flow=_transformer(params, f"{audio}.acoustic_transformer_args."),
        codec=_codec(params, f"{codec}."),
        vocab_size=_count(params, "vocab_size"),
        semantic_size=_count(params, f"{audio}.semantic_codebook_size"),
        acoustic_dim=_count(params, f"{audio}.n_acoustic_codebook"),
        acoustic_levels=_count(params, f"{audio}.acoustic_codebook_size"),
        # Absent from the published file; 7 is upstream's default.
        n_decoding_steps=_count(
            params, f"{audio}.acoustic_transformer_args.n_decoding_steps", default=7
        ),
        sampling_rate=_count(params, f"{audio}.audio_encoding_args.sampling_rate"),
        audio_token_id=_count(params, f"{audio}.audio_token_id"),
        begin_audio_token_id=_count(params, f"{audio}.begin_audio_token_id"),
        # These two come from tekken.json; upstream's code has them as constants.
        text_to_audio_token_id=_count(params, f"{audio}.text_to_audio_token_id", default=36),
        repeat_audio_text_token_id=35,
        voices=_voices(params, f"{codec}.voice"),
    )
    _number(params, "rope_theta")
    _number(params, "norm_eps")
    _check(config)
    return config


def _check(config: Config) -> None:
    for where, stack in (("", config.decoder), ("acoustic_transformer_args ", config.flow)):
        _check_heads(where, stack)
    _check_heads("audio_tokenizer_args ", config.codec.stage)
    stages = {len(config.codec.lengths), len(config.codec.kernels), len(config.codec.strides)}
    if len(stages) != 1:
        raise CheckpointError(
            "params.json: decoder_transformer_lengths_str, decoder_convs_kernels_str and "
            "decoder_convs_strides_str must name the same number of stages (got "
            f"{len(config.codec.lengths)}, {len(config.codec.kernels)}, "
            f"{len(config.codec.strides)})"
        )
    if config.flow.dim != config.decoder.dim:
        # Upstream's semantic head applies an at_dim-wide matrix to a dim-wide hidden state.
        raise CheckpointError(
            f"params.json: acoustic_transformer_args dim must equal dim {config.decoder.dim} "
            f"(got {config.flow.dim})"
        )


def _check_heads(where: str, stack: TransformerConfig) -> None:
    if stack.n_heads % stack.n_kv_heads:
        raise CheckpointError(
            f"params.json: {where}n_heads must be a multiple of n_kv_heads "
            f"(got {stack.n_heads} and {stack.n_kv_heads})"
        )


def _transformer(params: Mapping[str, Any], prefix: str) -> TransformerConfig:
    return TransformerConfig(
        dim=_count(params, f"{prefix}dim"),
        n_layers=_count(params, f"{prefix}n_layers"),
        n_heads=_count(params, f"{prefix}n_heads"),
        n_kv_heads=_count(params, f"{prefix}n_kv_heads"),
        head_dim=_count(params, f"{prefix}head_dim"),
        hidden_dim=_count(params, f"{prefix}hidden_dim"),
        use_biases=bool(prefix) and _flag(params, f"{prefix}use_biases", default=False),
    )


def _codec(params: Mapping[str, Any], prefix: str) -> CodecConfig:
    lengths = _counts(params, f"{prefix}decoder_transformer_lengths_str")
    stage = TransformerConfig(
        dim=_count(params, f"{prefix}dim"),
        n_layers=lengths[0],
        n_heads=_count(params, f"{prefix}n_heads"),
        n_kv_heads=_count(params, f"{prefix}n_kv_heads"),
        head_dim=_count(params, f"{prefix}head_dim"),
        hidden_dim=_count(params, f"{prefix}hidden_dim"),
        use_biases=_flag(params, f"{prefix}use_biases", default=False),
    )
    return CodecConfig(
        stage=stage,
        lengths=lengths,
        kernels=_counts(params, f"{prefix}decoder_convs_kernels_str"),
        strides=_counts(params, f"{prefix}decoder_convs_strides_str"),
        patch_size=_count(params, f"{prefix}pretransform_patch_size"),
        semantic_dim=_count(params, f"{prefix}semantic_dim"),
        weight_norm=_flag(params, f"{prefix}conv_weight_norm", default=True),
        layer_scale=_flag(params, f"{prefix}layer_scale", default=True),
    )


def _lookup(params: Mapping[str, Any], path: str) -> Any:
    value: Any = params
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise CheckpointError(f"params.json has no {path}; is the file whole?")
        value = value[part]
    return value


def _has(params: Mapping[str, Any], path: str) -> bool:
    try:
        _lookup(params, path)
    except CheckpointError:
        return False
    return True


def _count(params: Mapping[str, Any], path: str, default: int | None = None) -> int:
    if default is not None and not _has(params, path):
        return default
    value = _lookup(params, path)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"params.json: {path} must be a positive integer (got {value!r})")
    return value


def _counts(params: Mapping[str, Any], path: str) -> tuple[int, ...]:
    value = _lookup(params, path)
    parts = value.split(",") if isinstance(value, str) else []
    if not parts or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise CheckpointError(
            f"params.json: {path} must be positive integers with commas between (got {value!r})"
        )
    return tuple(int(part) for part in parts)


def _number(params: Mapping[str, Any], path: str) -> float:
    value = _lookup(params, path)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise CheckpointError(f"params.json: {path} must be a positive number (got {value!r})")
    return float(value)


def _flag(params: Mapping[str, Any], path: str, *, default: bool) -> bool:
    if not _has(params, path):
        return default
    value = _lookup(params, path)
    if not isinstance(value, bool):
        raise CheckpointError(f"params.json: {path} must be true or false (got {value!r})")
    return value


def _voices(params: Mapping[str, Any], path: str) -> tuple[str, ...]:
    value = _lookup(params, path)
    if not isinstance(value, Mapping) or not all(isinstance(i, int) for i in value.values()):
        raise CheckpointError(f"params.json: {path} must map voice names to ids (got {value!r})")
    return tuple(sorted(value, key=lambda name: value[name]))


def _pad_128(rows: int) -> int:
    return 128 * -(-rows // 128)
