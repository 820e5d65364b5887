"""The six methods, in the order every table and file keeps."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from harness.budget import xnnpack
from harness.budget.tolerances import allowances
from harness.compare import Allowance
from harness.errors import InputError
from harness.methods.spec import Input, Method

__all__ = ["ARTIFACTS", "CODEC", "METHODS", "MODEL", "select_methods"]

MODEL = "model.pte"
CODEC = "codec_decoder.pte"
ARTIFACTS = (MODEL, CODEC)

_MEASURED = (
    "ten times what fp32 differs by on CPUs, over all cases of tiny: {}; "
    "small uses a fifth of it, and eager itself is {} from float64"
)


def _method(
    name: str,
    *inputs: Input,
    fp32: Allowance,
    artifact: str = MODEL,
    entry: str | None = None,
    stateful: bool = False,
) -> Method:
    kept = {"fp32": fp32, **allowances(name), **xnnpack.allowances(name)}
    return Method(name, artifact, entry or name, inputs, kept, stateful)


METHODS: tuple[Method, ...] = (
    _method(
        "token_embedding",
        Input("token_ids", "int64", lambda d: (1, "S")),
        fp32=Allowance(
            max_abs=0.0, rms=0.0, gain=0.0, source="a table lookup copies bits; none may differ"
        ),
    ),
    _method(
        "audio_token_embedding",
        Input("codes", "int64", lambda d: (1, d.n_codebooks, 1)),
        # A sum of 37 rows, in an order that may differ.
        fp32=Allowance(
            max_abs=2.5e-7, rms=6e-8, gain=7e-9, source=_MEASURED.format("2.8e-8", "1.4e-8")
        ),
    ),
    _method(
        "text_decoder",
        Input("input_embeds", "model", lambda d: (1, "S", d.dim)),
        Input("cache_position", "int64", lambda d: ("S",)),
        fp32=Allowance(
            max_abs=2e-5, rms=1.4e-5, gain=3e-6, source=_MEASURED.format("2.1e-6", "1.0e-6")
        ),
        stateful=True,
    ),
    _method(
        "semantic_head",
        Input("hidden", "model", lambda d: (1, d.dim)),
        fp32=Allowance(
            max_abs=2.2e-6,
            rms=1.6e-6,
            gain=1.6e-7,
            source=_MEASURED.format("2.2e-7", "2.1e-7"),
            masked=True,
        ),
    ),
    _method(
        "predict_velocity",
        Input("x_t", "model", lambda d: (1, d.acoustic_dim)),
        Input("t_idx", "int64", lambda d: (1,)),
        Input("hidden", "model", lambda d: (1, d.dim)),
        # RMS and gain are of the worst call; some velocities are small sums of large terms.
        fp32=Allowance(
            max_abs=7e-6, rms=2.6e-5, gain=9e-6, source=_MEASURED.format("7.1e-7", "4.8e-7")
        ),
    ),
    _method(
        "codec",
        Input("codes", "int64", lambda d: (1, d.n_codebooks, d.max_codec_frames)),
        artifact=CODEC,
        entry="forward",
        fp32=Allowance(
            max_abs=2e-5, rms=1.8e-5, gain=6e-7, source=_MEASURED.format("2.1e-6", "1.2e-6")
        ),
    ),
)
"""Allowances stand on what ``nox -s tolerances -- tiny small`` measures."""


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
