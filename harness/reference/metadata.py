"""What the metadata methods of an export must say, from `params.json` and upstream's rule.

The exporter asks upstream's own configuration; this asks `harness.checkpoint`'s, so that the two
do not share a fault. It needs no torch.
"""

from __future__ import annotations

from harness.checkpoint import Config
from harness.checkpoint.config import EMPTY_AUDIO, END_AUDIO, N_SPECIAL_CODES
from harness.methods import CODEC, MODEL, Dimensions
from harness.methods.precision import Precision
from harness.synthesis import RUNNER_CHUNKS
from harness.synthesis.frames import CFG_ALPHA

__all__ = ["expected_metadata"]


def expected_metadata(
    config: Config,
    sizes: Dimensions,
    precision: Precision,
    *,
    streaming: bool | None,
    voice_rows: int,
) -> dict[str, dict[str, tuple[int, ...]]]:
    """Artifact → constant method → the values it may have.

    `streaming` is what was asked for, or None: a given file may say either; `voice_rows` are those
    of the default voice's embedding, 0 where the checkpoint has no voice.

    References
    ----------
    ``examples/models/voxtral_tts/export_voxtral_tts.py`` of executorch 1.5.1, `export_model` and
    `export_codec_decoder`; what the C++ runner makes of each value: ``voxtral_tts_runner.cpp``.
    """
    both = {
        "sample_rate": config.sampling_rate,
        "downsample_factor": config.downsample_factor,
        "n_codebooks": config.n_codebooks,
    }
    model = {
        **both,
        "n_decoding_steps": config.n_decoding_steps,
        "cfg_alpha_x100": round(100 * float(CFG_ALPHA)),
        "n_acoustic_codebook": config.acoustic_dim,
        "semantic_codebook_size": config.semantic_size,
        "acoustic_levels": config.acoustic_levels,
        "vocab_size": config.vocab_size,
        "max_seq_len": sizes.max_seq_len,
        "dim": config.decoder.dim,
        "empty_audio_code": EMPTY_AUDIO,
        "end_audio_code": END_AUDIO,
        "n_special_tokens": N_SPECIAL_CODES,
        "streaming_initial_chunk": RUNNER_CHUNKS.initial,
        "streaming_chunk_frames": RUNNER_CHUNKS.following,
        "streaming_left_context": RUNNER_CHUNKS.left_context,
        "audio_token_id": config.audio_token_id,
        "begin_audio_token_id": config.begin_audio_token_id,
        "text_to_audio_token_id": config.text_to_audio_token_id,
        "repeat_audio_text_token_id": config.repeat_audio_text_token_id,
        "voice_embed_len": voice_rows,
        "lm_input_is_bf16": int(precision.base == "bf16"),
    }
    codec = {**both, "max_codec_frames": sizes.max_codec_frames, "codec_supports_exact_frames": 0}
    either = (0, 1) if streaming is None else (int(streaming),)
    return {
        MODEL: {"streaming": either, **{name: (value,) for name, value in model.items()}},
        CODEC: {name: (value,) for name, value in codec.items()},
    }
