"""What `params.json` says, as checked numbers.

Upstream's loader falls back on the 4B model's sizes wherever a key is absent. Here a missing
key is an error, so that a truncated file cannot pass as another model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.table import (
    Kind,
    flag,
    integer,
    integers,
    mapping,
    number,
    read_table,
    under,
)
from harness.errors import CheckpointError, brief

__all__ = ["CodecConfig", "Config", "TransformerConfig", "read_config"]

EMPTY_AUDIO, END_AUDIO, N_SPECIAL_CODES = 0, 1, 2
"""Special codes, which precede those of every codebook (END ends speech), and their number."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of one stack of attention and SwiGLU layers.

    `n_layers` is in the codec that of one stage; `n_heads * head_dim` need not be `dim`, the width
    of the residual stream; the published model has no biases.
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

    `stage` has the `n_layers` of the first transformer stage; `lengths`, `kernels` and `strides`
    are layers, convolution kernel and stride of each. The last convolution makes `patch_size`
    samples of one time step. The last stage's attention looks `window` steps back, and with
    `halve_window` each stage before half as far.
    """

    stage: TransformerConfig
    lengths: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    patch_size: int
    semantic_dim: int
    weight_norm: bool
    layer_scale: bool
    window: int
    halve_window: bool
    patch_kernel: int = 7  # upstream's code has it as a constant


@dataclass(frozen=True)
class Config:
    """The numbers of a Voxtral TTS checkpoint that shape its tensors and its speech.

    Attributes
    ----------
    decoder, flow, codec
        The language model, the flow-matching head, and the codec's decoder.
    vocab_size, semantic_size
        Rows of the text embedding; semantic codes, without the two special ones.
    acoustic_dim, acoustic_levels
        Acoustic codebooks a frame, and levels of each.
    n_decoding_steps
        Euler steps of the flow-matching solver.
    sampling_rate
        In Hz.
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
    voices: tuple[str, ...]
    repeat_audio_text_token_id: int = 35  # upstream's code has it as a constant

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


_WIDTH = integer(1, 2**20)
_LAYERS = integer(1, 1000)

_STACK = {"dim": _WIDTH, "n_heads": _WIDTH, "n_kv_heads": _WIDTH, "head_dim": _WIDTH,
          "hidden_dim": _WIDTH}  # fmt: skip
_TOKENS = {"audio_token_id": integer(0, 2**24), "begin_audio_token_id": integer(0, 2**24),
           "text_to_audio_token_id": integer(0, 2**24, default=36)}  # fmt: skip

_STAGES = {"decoder_transformer_lengths_str": integers(1000),
           "decoder_convs_kernels_str": integers(1024),
           "decoder_convs_strides_str": integers(1024)}  # fmt: skip

_AUDIO = "multimodal.audio_model_args"
_FLOW = f"{_AUDIO}.acoustic_transformer_args"
_CODEC = "multimodal.audio_tokenizer_args"

# What this harness or upstream's loader reads of `params.json`. The ranges are a hundred times the
# published sizes: what is beyond them would take all memory, or never end. The defaults are
# upstream's, of keys that the published file does not have.
_TABLE = {
    "model_type": Kind("'voxtral_tts'", lambda value: value == "voxtral_tts"),
    **_STACK,
    "n_layers": _LAYERS,
    "vocab_size": integer(1, 2**24),
    "rope_theta": number(1e12),
    "norm_eps": number(1.0),
    **under(_AUDIO, {
        "semantic_codebook_size": _WIDTH,
        "acoustic_codebook_size": integer(2, 2**16),
        "n_acoustic_codebook": integer(1, 2**12),
        "codebook_sizes": integers(2**20, default=None),
        "audio_encoding_args.sampling_rate": integer(1, 10**6),
        **_TOKENS,
    }),
    **under(_FLOW, {
        **_STACK,
        "n_layers": _LAYERS,
        "norm_eps": number(1.0, default=1e-5),
        "use_biases": flag(default=False),
        "n_decoding_steps": integer(1, 1000, default=7),
    }),
    **under(_CODEC, {
        **_STACK,
        "norm_eps": number(1.0, default=1e-2),
        "qk_norm_eps": number(1.0, default=1e-6),
        "attn_sliding_window_size": integer(1, 2**20, default=16),
        "half_attn_window_upon_downsampling": flag(default=True),
        "causal": flag(default=True),
        **_STAGES,
        "pretransform_patch_size": _WIDTH,
        "semantic_dim": _WIDTH,
        "conv_weight_norm": flag(default=True),
        "layer_scale": flag(default=True),
        "use_biases": flag(default=False),
        "voice": mapping(integer(0, 2**31), 1000),
    }),
}  # fmt: skip

_MAX_SAMPLES = 2**16
"""Samples of one frame; the published model has 1,920."""


def read_config(params: Mapping[str, Any], file: Path | str = "params.json") -> Config:
    """Read the contents of `params.json`, which `file` names in errors.

    Raises
    ------
    CheckpointError
        A key is missing, not of its type or range, or at odds with another.
    """
    model = read_table(params, _TABLE, file)
    audio, flow, codec = (_below(model, prefix) for prefix in (_AUDIO, _FLOW, _CODEC))
    semantic, levels, acoustic = _codebooks(audio)
    voices = codec["voice"]
    config = Config(
        decoder=_stack(model, model["n_layers"], use_biases=False),
        flow=_stack(flow, flow["n_layers"], flow["use_biases"]),
        codec=_codec(codec),
        vocab_size=model["vocab_size"],
        semantic_size=semantic,
        acoustic_dim=acoustic,
        acoustic_levels=levels,
        n_decoding_steps=flow["n_decoding_steps"],
        sampling_rate=audio["audio_encoding_args.sampling_rate"],
        **{key: audio[key] for key in _TOKENS},
        voices=tuple(sorted(voices, key=voices.__getitem__)),
    )
    for fault in _faults(config):
        raise CheckpointError(f"{file}: {fault}")
    return config


def _below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    start = f"{prefix}."
    return {path.removeprefix(start): v for path, v in values.items() if path.startswith(start)}


def _codebooks(audio: Mapping[str, Any]) -> tuple[int, int, int]:
    """Semantic codes, acoustic levels and acoustic codebooks, by upstream's rule."""
    if audio["codebook_sizes"] is not None:
        semantic, *acoustic = _numbers(audio["codebook_sizes"])
        return semantic, acoustic[0] if acoustic else 21, len(acoustic)
    semantic, levels = audio["semantic_codebook_size"], audio["acoustic_codebook_size"]
    return semantic, levels, audio["n_acoustic_codebook"]


def _numbers(value: str) -> tuple[int, ...]:
    return tuple(map(int, value.split(",")))


def _stack(values: Mapping[str, Any], n_layers: int, use_biases: bool) -> TransformerConfig:
    sizes = {key: values[key] for key in _STACK}
    return TransformerConfig(n_layers=n_layers, use_biases=use_biases, **sizes)


def _codec(values: Mapping[str, Any]) -> CodecConfig:
    lengths, kernels, strides = (_numbers(values[key]) for key in _STAGES)
    return CodecConfig(
        stage=_stack(values, lengths[0], values["use_biases"]),
        lengths=lengths,
        kernels=kernels,
        strides=strides,
        patch_size=values["pretransform_patch_size"],
        semantic_dim=values["semantic_dim"],
        weight_norm=values["conv_weight_norm"],
        layer_scale=values["layer_scale"],
        window=values["attn_sliding_window_size"],
        halve_window=values["half_attn_window_upon_downsampling"],
    )


def _faults(config: Config) -> Iterator[str]:
    """What the numbers say against one another, in the keys' words."""
    codec = config.codec
    stacks = {"": config.decoder, f"{_FLOW}.": config.flow, f"{_CODEC}.": codec.stage}
    for where, stack in stacks.items():
        if stack.n_heads % stack.n_kv_heads:
            got = f"got {stack.n_heads} and {stack.n_kv_heads}"
            yield f"{where}n_heads must be a multiple of n_kv_heads ({got})"
        if stack.head_dim % 2:
            yield f"{where}head_dim must be even (got {stack.head_dim})"
    if not len(codec.lengths) == len(codec.kernels) == len(codec.strides):
        yield (
            f"{', '.join(_STAGES)} must name the same number of stages (got "
            f"{len(codec.lengths)}, {len(codec.kernels)}, {len(codec.strides)})"
        )
    if config.flow.dim != config.decoder.dim:
        # Upstream's semantic head applies an at_dim-wide matrix to a dim-wide hidden state.
        yield f"{_FLOW}.dim must equal dim {config.decoder.dim} (got {config.flow.dim})"
    if not 1 <= config.acoustic_dim <= 2**12 or not 2 <= config.acoustic_levels <= 2**16:
        yield (
            f"{_AUDIO}.codebook_sizes must name one semantic codebook and up to 4,096 acoustic "
            f"ones of 2 to 65,536 levels (got {config.acoustic_dim} of {config.acoustic_levels})"
        )
    if config.downsample_factor > _MAX_SAMPLES:
        yield (
            "pretransform_patch_size times all decoder_convs_strides_str must be at most "
            f"{_MAX_SAMPLES:,} samples (got {brief(config.downsample_factor)})"
        )


def _pad_128(rows: int) -> int:
    return 128 * -(-rows // 128)
