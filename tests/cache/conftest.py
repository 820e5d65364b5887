from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cache.store import release_all


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Directory of an empty store of this test's own."""
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))
    monkeypatch.delenv("VOXTRAL_PARITY_CACHE_BYTES", raising=False)
    release_all()
    yield tmp_path / "store"
    release_all()
