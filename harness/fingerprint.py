"""Which executor ran, on what device, with what versions: what a report quotes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Fingerprint"]


@dataclass(frozen=True)
class Fingerprint:
    """Which executor ran, on what device, with what versions; a report quotes it."""

    executor: str
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
