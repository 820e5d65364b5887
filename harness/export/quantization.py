"""What upstream's quantisation flags say beyond `Precision`: what MLX exports cannot have."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import InputError, one_of

__all__ = ["DYNAMIC", "KernelQuantization"]

DYNAMIC = "8da"
"""Prefix of a ``qlinear`` that quantises activations as well, as they come."""


@dataclass(frozen=True)
class KernelQuantization:
    """How CPU kernels get their weights, beside the widths and groups of a `Precision`.

    Attributes
    ----------
    dynamic
        Activations of quantised linears are quantised as well: ``8da4w``, ``8da8w``.
    packing_format
        torchao's packing of ``4w``.
    codec, codec_group_size
        Linear layers of the codec: ``"4w"`` or ``"8w"``, and the weights that share a scale.

    Raises
    ------
    InputError
        An option is none of these, or is given for what is not quantised.
    """

    dynamic: bool = False
    packing_format: str | None = None
    codec: str | None = None
    codec_group_size: int | None = None

    def __post_init__(self) -> None:
        if self.packing_format == "":  # which upstream takes for none
            raise InputError("qlinear-packing-format must name a packing of torchao's (got '')")
        if self.codec is not None:
            one_of("qlinear-codec", self.codec, ("4w", "8w"))
        elif self.codec_group_size is not None:
            raise InputError("qlinear-codec-group-size needs qlinear-codec: nothing is quantised")
