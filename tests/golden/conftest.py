"""One run's statistics, codes and provenance, and its golden in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.compare import Status, Verdict, WaveformStatistics, statistics
from harness.golden import GoldenKey, Provenance, bless

RATE = 24000


@pytest.fixture(scope="session")
def key() -> GoldenKey:
    return GoldenKey("tiny", "codec", "fp32", "cpu")


@pytest.fixture(scope="session")
def sound() -> np.ndarray:
    return (0.1 * np.random.default_rng(17).standard_normal(3 * 1920)).astype(np.float32)


@pytest.fixture(scope="session")
def spoken(sound: np.ndarray) -> WaveformStatistics:
    return statistics(sound, RATE, frames=3)


@pytest.fixture(scope="session")
def codes() -> np.ndarray:
    """37 codebooks, 3 frames."""
    return np.arange(111).reshape(37, 3) % 23


@pytest.fixture(scope="session")
def provenance() -> Provenance:
    return Provenance("2026-08-01", "ab" * 32, "0.1.0", {"torch": "2.13.0"})


@pytest.fixture(scope="session")
def parity() -> list[Verdict]:
    return [Verdict("codec", "speech", "waveform", Status.PASS, "equal", elements=5760)]


@pytest.fixture
def root(
    tmp_path: Path,
    key: GoldenKey,
    spoken: WaveformStatistics,
    codes: np.ndarray,
    provenance: Provenance,
    parity: list[Verdict],
) -> Path:
    """A goldens' directory with one golden, just blessed."""
    bless(tmp_path, key, spoken, codes, provenance, "first light of the codec", parity)
    return tmp_path
