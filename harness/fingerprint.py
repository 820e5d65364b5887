"""What ran: a report quotes it, and budgets go by its regime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Fingerprint"]


@dataclass(frozen=True)
class Fingerprint:
    """Which executor ran, on what device, with what versions; a report quotes it.

    Attributes
    ----------
    regime
        How sums are accumulated, by which budgets tell executors apart: ``cpu`` (float32),
        ``cpu-bf16-accumulate`` (MLX's CPU kernels, in the type of the operands) or ``metal``.
    """

    executor: str
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    regime: str = "cpu"
