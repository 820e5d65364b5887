"""What counts as equal on XNNPACK and ExecuTorch's CPU kernels, by method and precision."""

from __future__ import annotations

from collections.abc import Mapping

from harness.budget import tolerances
from harness.compare import Allowance

__all__ = ["ALLOWANCES"]

_MEASURED = "ten times what XNNPACK in fp32 differs by on an x86-64 CPU, over all cases of tiny: {}"


# max abs, RMS, gain, and the max abs that was measured.
_FP32: Mapping[str, tuple[float, float, float, str]] = {
    "audio_token_embedding": (2.5e-7, 6e-8, 7e-9, "2.8e-8"),
    "text_decoder": (2e-5, 1.6e-5, 2.7e-6, "2.2e-6"),
    "semantic_head": (5.5e-6, 3.2e-6, 3e-7, "6.1e-7"),
    "predict_velocity": (1.5e-5, 4e-5, 1.1e-5, "1.6e-6"),
    "codec": (2.6e-5, 2e-5, 4.2e-7, "2.7e-6"),
}

# The most that bf16 differs by on x86-64 CPUs, one of them with bf16 instructions, over all cases
# of tiny and small: max abs, RMS and gain, the last two also of the worst single call. A
# quantised export has eager's own quantised values in bf16. The codec is the same file in both;
# in the form with native convolutions it differed five times as much, for the reason that
# `harness.export.kernels` gives.
_BF16: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "bf16": {
        "text_decoder": (1.7e-2, 1.4e-2, 5.9e-4),
        "predict_velocity": (6.0e-3, 1.8e-2, 5.5e-3),
        "codec": (3.2e-2, 2.5e-2, 5.6e-4),
    },
    "bf16-4w8w": {
        "text_decoder": (2.0e-2, 1.5e-2, 5.0e-4),
        "predict_velocity": (5.6e-3, 2.1e-2, 4.5e-3),
        "codec": (3.2e-2, 2.5e-2, 5.6e-4),
    },
}
_BF16_TIMES = 4
_BF16_SOURCE = (
    "four times what XNNPACK in {} differs by from eager of that precision on x86-64 CPUs, over "
    "all cases of tiny and small: {:.1e}; both round every intermediate result to 8 bits, in "
    "another order"
)

# Here nothing differed by more than float32 can tell, so that what is allowed comes by reason and
# not by measurement: of a lookup not one bit, of a sum two units in the last place.
_BY_REASON: Mapping[str, Allowance] = {
    "token_embedding": tolerances.ALLOWANCES["bf16"]["token_embedding"],
    "audio_token_embedding": tolerances.ALLOWANCES["bf16"]["semantic_head"],
    "semantic_head": tolerances.ALLOWANCES["bf16"]["semantic_head"],
}


def _measured(precision: str, figures: tuple[float, float, float]) -> Allowance:
    source = _BF16_SOURCE.format(precision, figures[0])
    max_abs, rms, gain = (_BF16_TIMES * value for value in figures)
    return Allowance(max_abs, rms, gain, source=source)


ALLOWANCES: Mapping[str, Mapping[str, Allowance]] = {
    "fp32": {
        "token_embedding": tolerances.ALLOWANCES["fp32"]["token_embedding"],
        **{
            method: Allowance(*numbers[:3], source=_MEASURED.format(numbers[3]))
            for method, numbers in _FP32.items()
        },
    },
    **{
        precision: {
            **_BY_REASON,
            **{method: _measured(precision, figures) for method, figures in table.items()},
        }
        for precision, table in _BF16.items()
    },
}
"""By precision, then by method; what was not measured has none."""
