"""What ran, and how exactly it multiplies: a report quotes it, and budgets go by its regime."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["UNMEASURED", "Fingerprint", "KernelFault", "Regime", "installed_versions", "name_of"]

UNMEASURED = "unmeasured"
"""The regime of an executor whose arithmetic nobody looked at."""


@dataclass(frozen=True)
class KernelFault:
    """A wrong result that no regime explains.

    Attributes
    ----------
    kind, dtype, case
        Of the canary: kind of product, element type, shape in words.
    said
        What came out, with figures.
    """

    kind: str
    dtype: str
    case: str
    said: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.dtype}, {self.case}: {self.said}"


@dataclass(frozen=True)
class Regime:
    """How exactly an executor multiplies and adds, as its canaries showed.

    Attributes
    ----------
    name
        By which budgets and goldens tell regimes apart: ``exact-f32``; see
        `harness.budget.regimes`.
    products
        Kind of product and element type (``"matrix float32"``) → ``exact-f32``, ``tf32-class`` or
        ``bf16-class``.
    canaries
        How many of them were run.
    faults
        Those whose results no regime explains.
    """

    name: str
    products: Mapping[str, str]
    canaries: int
    faults: tuple[KernelFault, ...] = ()


@dataclass(frozen=True)
class Fingerprint:
    """Which executor ran, on what device, with what versions; a report quotes it.

    Attributes
    ----------
    regime
        Name of the regime of its arithmetic, by which budgets tell executors apart.
    measured
        The regime as canaries measured it; None where none were run.
    virtual
        Whether the GPU that ran it is a virtual machine's.
    """

    executor: str
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    regime: str = UNMEASURED
    measured: Regime | None = None
    virtual: bool = False


def name_of(regime: Regime | None) -> str:
    """A regime's name; `UNMEASURED` where there is none."""
    return UNMEASURED if regime is None else regime.name


def installed_versions(*packages: str) -> dict[str, str]:
    """Version of each package that is installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
