"""What upstream's quantisation flags say beyond `Precision`: what MLX exports cannot have."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import InputError

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
        if self.codec not in (None, "4w", "8w"):
            raise InputError(f"qlinear-codec must be one of 4w, 8w (got {self.codec!r})")
        if self.codec is None and self.codec_group_size is not None:
            raise InputError("qlinear-codec-group-size needs qlinear-codec: nothing is quantised")

    @property
    def of_model(self) -> KernelQuantization:
        """Without what concerns the codec."""
        return KernelQuantization(self.dynamic, self.packing_format)

    @property
    def of_codec(self) -> KernelQuantization:
        """Only what concerns the codec."""
        return KernelQuantization(codec=self.codec, codec_group_size=self.codec_group_size)
