"""What a precision may cost, so that a lowering error cannot hide in quantisation noise.

An export is judged against eager *of the same precision with the same quantised weights*, and
that eager run against eager in fp32 by a floor on its signal to noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.methods.precision import Precision

__all__ = ["FLOOR_SOURCE", "floor"]

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
