"""What counts as equal on XNNPACK and ExecuTorch's CPU kernels, by method and precision."""

from __future__ import annotations

from collections.abc import Mapping

from harness.compare import Allowance
from harness.methods import tolerances

__all__ = ["allowances"]

_MEASURED = "ten times what XNNPACK in fp32 differs by on an x86-64 CPU, over all cases of tiny: {}"


def _fp32(
    max_abs: float, rms: float, gain: float, measured: str, masked: bool = False
) -> dict[str, Allowance]:
    return {
        "xnnpack/fp32": Allowance(
            max_abs=max_abs, rms=rms, gain=gain, source=_MEASURED.format(measured), masked=masked
        )
    }


_FP32: Mapping[str, Mapping[str, Allowance]] = {
    "token_embedding": {
        "xnnpack/fp32": Allowance(
            max_abs=0.0, rms=0.0, gain=0.0, source="a table lookup copies bits; none may differ"
        )
    },
    "audio_token_embedding": _fp32(2.5e-7, 6e-8, 7e-9, "2.8e-8"),
    "text_decoder": _fp32(2e-5, 1.6e-5, 2.7e-6, "2.2e-6"),
    "semantic_head": _fp32(5.5e-6, 3.2e-6, 3e-7, "6.1e-7", masked=True),
    "predict_velocity": _fp32(1.5e-5, 4e-5, 1.1e-5, "1.6e-6"),
    "codec": _fp32(2.6e-5, 2e-5, 4.2e-7, "2.7e-6"),
}

# max abs, RMS and gain that bf16 differs by on an x86-64 CPU, over all cases of tiny.
_BF16: Mapping[str, tuple[float, float, float]] = {
    "text_decoder": (1.1e-2, 4.7e-3, 1.2e-4),
    "predict_velocity": (6.0e-3, 3.1e-3, 8.6e-4),
}
_BF16_TIMES = 4
_BF16_SOURCE = (
    "four times what XNNPACK in bf16 differs by from eager bf16 on an x86-64 CPU, over all cases "
    "of tiny: {:.1e}; both round every intermediate result to 8 bits, in another order"
)

# Here bf16 differed nowhere, so that what MLX is allowed, by reason and not by measurement,
# is allowed here too.
_BF16_AS_MLX = ("token_embedding", "audio_token_embedding", "semantic_head")


def allowances(method: str) -> dict[str, Allowance]:
    """Allowances of `method` by ``xnnpack/PRECISION``; what was not measured has none."""
    found = dict(_FP32[method])
    if method in _BF16_AS_MLX:
        found["xnnpack/bf16"] = tolerances.allowances(method)["bf16"]
    elif method in _BF16:
        max_abs, rms, gain = (_BF16_TIMES * value for value in _BF16[method])
        found["xnnpack/bf16"] = Allowance(
            max_abs, rms, gain, source=_BF16_SOURCE.format(_BF16[method][0])
        )
    return found
