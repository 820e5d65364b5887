"""The six methods, in the order every table and file keeps."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import one_of
from harness.methods.spec import Input, Method

__all__ = ["ARTIFACTS", "CODEC", "METHODS", "MODEL", "SOUND", "select_methods"]

MODEL = "model.pte"
CODEC = "codec_decoder.pte"
ARTIFACTS = (MODEL, CODEC)

METHODS: tuple[Method, ...] = (
    Method("token_embedding", MODEL, inputs=(Input("token_ids", "int64", lambda d: (1, "S")),)),
    Method(
        "audio_token_embedding",
        MODEL,
        inputs=(Input("codes", "int64", lambda d: (1, d.n_codebooks, 1)),),
    ),
    Method(
        "text_decoder",
        MODEL,
        inputs=(
            Input("input_embeds", "model", lambda d: (1, "S", d.dim)),
            Input("cache_position", "int64", lambda d: ("S",)),
        ),
        stateful=True,
    ),
    Method(
        "semantic_head",
        MODEL,
        inputs=(Input("hidden", "model", lambda d: (1, d.dim)),),
        masked=True,
    ),
    Method(
        "predict_velocity",
        MODEL,
        inputs=(
            Input("x_t", "model", lambda d: (1, d.acoustic_dim)),
            Input("t_idx", "int64", lambda d: (1,)),
            Input("hidden", "model", lambda d: (1, d.dim)),
        ),
    ),
    Method(
        "codec",
        CODEC,
        entry="forward",
        inputs=(Input("codes", "int64", lambda d: (1, d.n_codebooks, d.max_codec_frames)),),
        sound=True,
    ),
)
"""In their fixed order."""

SOUND = next(method for method in METHODS if method.sound)
"""The method whose output is the waveform."""


def select_methods(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods named, in catalogue order; all six for no names.

    Raises
    ------
    InputError
        A name that is not one of the six, with the nearest one suggested.
    """
    known = {method.name: method for method in METHODS}
    for name in names:
        one_of("method", name, known)
    return tuple(m for m in METHODS if not names or m.name in names)
