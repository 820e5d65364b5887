"""What an export to MLX may differ by from eager, by precision, and what a precision may cost.

Two steps, so that a lowering error cannot hide in quantisation noise: an export is judged
against eager *of the same precision with the same quantised weights* by an `Allowance`, and that
eager run against eager in fp32 by a floor on its signal to noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.compare import Allowance
from harness.methods.precision import Precision

__all__ = ["ALLOWANCES", "FLOOR_SOURCE", "IN_16_BITS", "floor"]

_BF16_SOURCE = (
    "four times the most that bf16 exports differ by from eager bf16 on CPUs, over all cases of "
    "tiny and small; both round every intermediate result to 8 bits, in another order"
)
_ULP_SOURCE = (
    "two units in the last place of bf16 (2^-8) at the greatest value, in few elements: sums "
    "are rounded once, and a sum near a tie may go either way"
)
_SUM_SOURCE = (
    "four times the most that bf16 exports differ by from eager bf16 on CPUs, over all cases of "
    "tiny and small; MLX 0.32.2 adds 16-bit sums up in 16 bits, on Metal as on CPUs, where torch "
    "and MLX from 0.32.3 on take float32"
)
_EXACT_SOURCE = "a table lookup copies bits; none may differ"
_TEN_TIMES = (
    "ten times what fp32 differs by on CPUs, over all cases of tiny: {}; "
    "small uses a fifth of it, and eager itself is {} from float64"
)
_QUANTIZED_FP32 = "ten times what an fp32 export with quantised weights differs by on CPUs (tiny)"

# name → max abs, RMS, gain, source. The rows of a quantised embedding are made by scale · value
# + bias in bf16, two roundings, where torch has one.
_MEASURED: Mapping[str, Mapping[str, tuple[float, float, float, str]]] = {
    "fp32": {
        "token_embedding": (0.0, 0.0, 0.0, _EXACT_SOURCE),
        # A sum of 37 rows, in an order that may differ.
        "audio_token_embedding": (2.5e-7, 6e-8, 7e-9, _TEN_TIMES.format("2.8e-8", "1.4e-8")),
        "text_decoder": (2e-5, 1.4e-5, 3e-6, _TEN_TIMES.format("2.1e-6", "1.0e-6")),
        "semantic_head": (2.2e-6, 1.6e-6, 1.6e-7, _TEN_TIMES.format("2.2e-7", "2.1e-7")),
        # RMS and gain are of the worst call; some velocities are small sums of large terms.
        "predict_velocity": (7e-6, 2.6e-5, 9e-6, _TEN_TIMES.format("7.1e-7", "4.8e-7")),
        "codec": (2e-5, 1.8e-5, 6e-7, _TEN_TIMES.format("2.1e-6", "1.2e-6")),
    },
    "bf16": {
        "token_embedding": (0.0, 0.0, 0.0, _EXACT_SOURCE),
        "audio_token_embedding": (0.076, 0.042, 0.0115, _SUM_SOURCE),
        "text_decoder": (0.16, 0.15, 5e-3, _BF16_SOURCE),
        "semantic_head": (8e-3, 1.5e-3, 1e-4, _ULP_SOURCE),
        "predict_velocity": (0.05, 0.16, 0.06, _BF16_SOURCE),
        "codec": (0.19, 0.137, 0.012, _BF16_SOURCE),
    },
    "bf16-4w8w": {
        "token_embedding": (0.022, 0.021, 3.2e-3, _BF16_SOURCE),
        "audio_token_embedding": (0.072, 0.048, 0.0145, _SUM_SOURCE),
        "text_decoder": (0.16, 0.15, 5e-3, _BF16_SOURCE),
        "semantic_head": (0.019, 0.0105, 1e-3, _BF16_SOURCE),
        "predict_velocity": (0.045, 0.17, 0.06, _BF16_SOURCE),
        "codec": (0.19, 0.137, 0.012, _BF16_SOURCE),
    },
    "fp32-4w8w": {
        "token_embedding": (8e-7, 8e-7, 6e-8, _QUANTIZED_FP32),
        "audio_token_embedding": (2.9e-6, 1.9e-6, 4.4e-7, _QUANTIZED_FP32),
        "text_decoder": (1.9e-5, 1.8e-5, 3.2e-6, _QUANTIZED_FP32),
        "semantic_head": (5.3e-6, 3.4e-6, 4.7e-7, _QUANTIZED_FP32),
        "predict_velocity": (8.6e-6, 3.8e-5, 1.3e-5, _QUANTIZED_FP32),
        "codec": (2e-5, 1.7e-5, 6e-7, _QUANTIZED_FP32),
    },
}

FLOOR_SOURCE = (
    "the least that eager was seen to keep on tiny and small (text of the main job, usual group "
    "sizes), minus 3 dB: noise of twice the power"
)

# Signal to noise in dB against fp32, by what narrows the method most: the type, or the width of
# its weights. 8-bit linears and 4-bit embeddings were measured on tiny alone; text_decoder's has
# 3.3 dB more of margin, which is what small's depth costs it at 4 bits.
_FLOORS: Mapping[str, Mapping[str, float]] = {
    "token_embedding": {"bf16": math.inf, "8w": 41.0, "4w": 18.5},
    "audio_token_embedding": {"bf16": 52.0, "8w": 40.0, "4w": 18.0},
    "text_decoder": {"bf16": 34.0, "8w": 26.0, "4w": 5.5},
    "semantic_head": {"bf16": 52.0, "8w": 40.0, "4w": 17.5},
    "predict_velocity": {"bf16": 38.0, "8w": 31.0, "4w": 9.0},
    "codec": {"bf16": 29.5},
}

_EMBEDDINGS = ("token_embedding", "audio_token_embedding")


ALLOWANCES: Mapping[str, Mapping[str, Allowance]] = {
    precision: {
        method: Allowance(*numbers[:3], source=numbers[3]) for method, numbers in table.items()
    }
    for precision, table in _MEASURED.items()
}
"""By `Precision.allowance`, then by method."""

_16_BITS_SOURCE = (
    "four times the most that portable:faithful differs by from eager, over all cases of tiny: "
    "MLX's CPU kernel adds quantised products up in 16 bits, where torch and Metal take float32"
)

IN_16_BITS: Mapping[str, Mapping[str, Allowance]] = {
    "bf16-4w8w": {
        "text_decoder": Allowance(0.44, 0.44, 0.029, source=_16_BITS_SOURCE),
        "semantic_head": Allowance(0.19, 0.084, 0.0112, source=_16_BITS_SOURCE),
        "predict_velocity": Allowance(0.24, 1.08, 0.27, source=_16_BITS_SOURCE),
    }
}
"""The same where 16-bit quantised products are added up in 16 bits, as far as it differs."""


def floor(method: str, precision: Precision) -> tuple[str, float] | None:
    """What narrows `method` most and the least SQNR against fp32 in dB; None: nothing does."""
    if method == "codec":
        width = None  # MLX exports do not quantise it
    else:
        width = precision.qembedding if method in _EMBEDDINGS else precision.qlinear
    if method == "text_decoder" and precision.decoder_qlinear_scope == "none":
        width = None
    narrowest = width or (precision.base if precision.base != "fp32" else None)
    return None if narrowest is None else (narrowest, _FLOORS[method][narrowest])
