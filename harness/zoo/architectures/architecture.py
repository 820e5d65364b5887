"""One class of transformers in a tiny configuration, and the sizes that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["KINDS", "SIZES", "Architecture", "family"]

KINDS = ("decoder", "encoder", "encoder-decoder", "vision", "audio")

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "max_position_embeddings": 64,
    "hidden_size": 32,
    "head_dim": 8,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_decoder_layers": 2,
    "d_kv": 8,
    "d_ff": 64,
    "image_size": 32,
    "patch_size": 8,
    "num_channels": 3,
    "num_labels": 3,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


@dataclass(frozen=True)
class Architecture:
    """One class of transformers in a tiny configuration.

    Attributes
    ----------
    name
        In reports, and after ``--architectures``; what stands before a ``/`` is transformers' name.
    model
        Class of transformers.
    own
        What the configuration has beside `SIZES`; ``...`` leaves it the default.
    inputs
        Name → shape of inputs in the place of its kind's; ``"ids "`` in front makes token ids.
    padded
        Positions of padding in the first row: left of the text where negative.
    kind
        One of `KINDS`; it says which inputs a model takes.
    phases
        Exported programs: ``forward``, or the parts of a generation.
    """

    name: str
    model: str
    own: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    padded: int = 0
    kind: str = ""
    phases: tuple[str, ...] = ("forward",)

    @property
    def model_type(self) -> str:
        """The configuration's name in transformers."""
        return self.name.partition("/")[0]


def family(kind: str, *entries: tuple[Any, ...], generates: bool) -> tuple[Architecture, ...]:
    """Architectures of (name, class, own, inputs, padded) each."""
    phases = ("prefill", "decode") if generates else ("forward",)
    return tuple(replace(Architecture(*entry), kind=kind, phases=phases) for entry in entries)
