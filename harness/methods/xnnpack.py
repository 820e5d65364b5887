"""What counts as equal on XNNPACK and ExecuTorch's CPU kernels, by method and precision."""

from __future__ import annotations

from collections.abc import Mapping

from harness.compare import Allowance

__all__ = ["ALLOWANCES"]

_MEASURED = "ten times what XNNPACK in fp32 differs by on an x86-64 CPU, over all cases of tiny: {}"


def _fp32(
    max_abs: float, rms: float, gain: float, measured: str, masked: bool = False
) -> dict[str, Allowance]:
    return {
        "xnnpack/fp32": Allowance(
            max_abs=max_abs, rms=rms, gain=gain, source=_MEASURED.format(measured), masked=masked
        )
    }


ALLOWANCES: Mapping[str, Mapping[str, Allowance]] = {
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
"""Method → ``xnnpack/PRECISION`` → allowance."""
