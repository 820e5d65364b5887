"""The six methods, in the order every table and file keeps."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from harness.compare import Allowance
from harness.errors import InputError
from harness.methods.spec import Input, Method

__all__ = ["ARTIFACTS", "CODEC", "METHODS", "MODEL", "select_methods"]

MODEL = "model.pte"
CODEC = "codec_decoder.pte"
ARTIFACTS = (MODEL, CODEC)

_EXACT = Allowance(
    max_abs=0.0, rms=0.0, gain=0.0, source="a table lookup copies bits; nothing may differ"
)

METHODS: tuple[Method, ...] = (
    Method(
        name="token_embedding",
        artifact=MODEL,
        entry="token_embedding",
        inputs=(Input("token_ids", "int64", lambda d: (1, "S")),),
        allowances={"fp32": _EXACT},
    ),
    Method(
        name="audio_token_embedding",
        artifact=MODEL,
        entry="audio_token_embedding",
        inputs=(Input("codes", "int64", lambda d: (1, d.n_codebooks, 1)),),
        allowances={"fp32": _EXACT},
    ),
    Method(
        name="text_decoder",
        artifact=MODEL,
        entry="text_decoder",
        inputs=(
            Input("input_embeds", "model", lambda d: (1, "S", d.dim)),
            Input("cache_position", "int64", lambda d: ("S",)),
        ),
        allowances={"fp32": _EXACT},
        stateful=True,
    ),
    Method(
        name="semantic_head",
        artifact=MODEL,
        entry="semantic_head",
        inputs=(Input("hidden", "model", lambda d: (1, d.dim)),),
        allowances={"fp32": _EXACT},
    ),
    Method(
        name="predict_velocity",
        artifact=MODEL,
        entry="predict_velocity",
        inputs=(
            Input("x_t", "model", lambda d: (1, d.acoustic_dim)),
            Input("t_idx", "int64", lambda d: (1,)),
            Input("hidden", "model", lambda d: (1, d.dim)),
        ),
        allowances={"fp32": _EXACT},
    ),
    Method(
        name="codec",
        artifact=CODEC,
        entry="forward",
        inputs=(Input("codes", "int64", lambda d: (1, d.n_codebooks, d.max_codec_frames)),),
        allowances={"fp32": _EXACT},
    ),
)


def select_methods(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods named, in catalogue order; all six for no names.

    Raises
    ------
    InputError
        A name that is not one of the six, with the nearest one suggested.
    """
    known = {method.name: method for method in METHODS}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"method must be one of {', '.join(known)} (got {name!r}){hint}")
    return tuple(m for m in METHODS if not names or m.name in names)
