"""One run of three frames, and its golden in a directory of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from harness.compare import Status, Verdict, statistics
from harness.golden import Golden, GoldenKey, as_codes, bless

RATE = 24000


@pytest.fixture(scope="session")
def key() -> GoldenKey:
    return GoldenKey("tiny", "codec", "fp32", "exact-f32")


@pytest.fixture(scope="session")
def sound() -> np.ndarray:
    return (0.1 * np.random.default_rng(17).standard_normal(3 * 1920)).astype(np.float32)


@pytest.fixture(scope="session")
def run(key: GoldenKey, sound: np.ndarray) -> Golden:
    """37 codebooks, 3 frames."""
    return Golden(
        key=key,
        statistics=statistics(sound, RATE, frames=3),
        codes=as_codes(np.arange(111).reshape(37, 3) % 23),
        inputs={"checkpoint": "ab" * 32, "voice": "12" * 32},
        date="2026-08-01",
        versions={"torch": "2.13.0"},
    )


@pytest.fixture(scope="session")
def parity() -> list[Verdict]:
    return [Verdict("codec", "speech", "waveform", Status.PASS, "equal", elements=5760)]


@pytest.fixture
def root(tmp_path: Path, run: Golden, parity: list[Verdict]) -> Path:
    """A goldens' directory with one golden, just blessed."""
    bless(tmp_path, dataclasses.replace(run, reason="first light of the codec"), parity)
    return tmp_path
