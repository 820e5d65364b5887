"""Modules → `torch.export` programs, and the metadata methods upstream's runner reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from harness.export.codec import CodecDecoder
from harness.export.modules import TextDecoder
from harness.methods import Dimensions

__all__ = [
    "PROGRAMS",
    "TRACEABLES",
    "Traceable",
    "codec_metadata",
    "model_metadata",
]


@dataclass(frozen=True)
class Traceable:
    """What `torch.export.export` is given: a module, example inputs, and which axes vary."""

    module: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]
    dynamic_shapes: dict[str, Any] | None = None


def _token_embedding(model: Any, sizes: Dimensions) -> Traceable:
    length = Dim("tokens", min=1, max=sizes.max_seq_len)
    ids = torch.arange(4).reshape(1, 4)
    return Traceable(_upstream().TokenEmbeddingExport(model), (ids,), {"token_ids": {1: length}})


def _audio_token_embedding(model: Any, sizes: Dimensions) -> Traceable:
    codes = torch.zeros(1, sizes.n_codebooks, 1, dtype=torch.long)
    return Traceable(_upstream().AudioTokenEmbeddingExport(model), (codes,))


def _text_decoder(
    model: Any, sizes: Dimensions, module: Callable[[Any], torch.nn.Module] = TextDecoder
) -> Traceable:
    length = Dim("length", min=1, max=sizes.max_seq_len)
    inputs = (_zeros(model, 1, 4, sizes.dim), torch.arange(4))
    open_axes = {"input_embeds": {1: length}, "cache_position": {0: length}}
    return Traceable(module(model), inputs, open_axes)


def _semantic_head(model: Any, sizes: Dimensions) -> Traceable:
    return Traceable(_upstream().SemanticHeadExport(model), (_zeros(model, 1, sizes.dim),))


def _predict_velocity(model: Any, sizes: Dimensions) -> Traceable:
    x_t, hidden = _zeros(model, 1, sizes.acoustic_dim), _zeros(model, 1, sizes.dim)
    t_idx = torch.zeros(1, dtype=torch.long)
    return Traceable(_upstream().PredictVelocityExport(model), (x_t, t_idx, hidden))


def _codec(model: Any, sizes: Dimensions, form: str = "conv") -> Traceable:
    codes = torch.zeros(1, sizes.n_codebooks, sizes.max_codec_frames, dtype=torch.long)
    return Traceable(CodecDecoder(model, form), (codes,))


TRACEABLES: dict[str, Callable[..., Traceable]] = {
    "token_embedding": _token_embedding,
    "audio_token_embedding": _audio_token_embedding,
    "text_decoder": _text_decoder,
    "semantic_head": _semantic_head,
    "predict_velocity": _predict_velocity,
    "codec": _codec,
}
"""For each method, what is traced, from an eager model. The codec also takes its `form`, the text
decoder what makes its `module`, in whichever operators."""


def _traced(
    traceable: Callable[..., Traceable],
    model: Any,
    sizes: Dimensions,
    **options: Any,
) -> ExportedProgram:
    what = traceable(model, sizes, **options)
    with torch.no_grad():
        return torch.export.export(
            what.module.eval(), what.inputs, dynamic_shapes=what.dynamic_shapes, strict=False
        )


PROGRAMS: dict[str, Callable[..., ExportedProgram]] = {
    name: partial(_traced, traceable) for name, traceable in TRACEABLES.items()
}
"""For each method, what traces it, with the arguments of `TRACEABLES`."""


def model_metadata(
    model: Any, sizes: Dimensions, *, voice_embed_len: int, streaming: bool = False
) -> dict[str, int]:
    """Constant methods of `model.pte`: upstream's names and values.

    `voice_embed_len` are the rows of the default voice's embedding; `streaming` says whether the
    runner should decode in chunks.

    References
    ----------
    ``examples/models/voxtral_tts/export_voxtral_tts.py`` of executorch 1.5.1, `export_model`;
    its literals (chunks of 25 frames after a first of 5, 25 frames of left context) are the
    runner's.
    """
    config = model.config
    return {
        "sample_rate": config.sampling_rate,
        "n_decoding_steps": config.n_decoding_steps,
        "cfg_alpha_x100": int(config.cfg_alpha * 100),
        "n_acoustic_codebook": config.acoustic_dim,
        "semantic_codebook_size": config.semantic_codebook_size,
        "acoustic_levels": config.acoustic_levels,
        "vocab_size": config.vocab_size,
        "max_seq_len": sizes.max_seq_len,
        "dim": config.dim,
        "downsample_factor": config.downsample_factor,
        "n_codebooks": config.n_codebooks,
        "end_audio_code": 1,
        "empty_audio_code": 0,
        "n_special_tokens": 2,
        "streaming": int(streaming),
        "streaming_chunk_frames": 25,
        "streaming_initial_chunk": 5,
        "streaming_left_context": 25,
        "audio_token_id": config.audio_token_id,
        "begin_audio_token_id": config.begin_audio_token_id,
        "text_to_audio_token_id": config.text_to_audio_token_id,
        "repeat_audio_text_token_id": config.repeat_audio_text_token_id,
        "voice_embed_len": voice_embed_len,
        "lm_input_is_bf16": int(_float_type(model) == torch.bfloat16),
    }


def codec_metadata(model: Any, sizes: Dimensions) -> dict[str, int]:
    """Constant methods of `codec_decoder.pte`, as upstream's `export_codec_decoder`."""
    return {
        "max_codec_frames": sizes.max_codec_frames,
        "downsample_factor": model.config.downsample_factor,
        "n_codebooks": model.config.n_codebooks,
        "sample_rate": model.config.sampling_rate,
        "codec_supports_exact_frames": 0,
    }


def _upstream() -> Any:
    from executorch.examples.models.voxtral_tts import export_voxtral_tts

    return export_voxtral_tts


def _zeros(model: Any, *shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=_float_type(model))


def _float_type(model: Any) -> torch.dtype:
    return next(model.parameters()).dtype
