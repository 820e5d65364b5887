"""A private copy of `tiny` that a test may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.checkpoint import Checkpoint


@pytest.fixture
def directory(tiny: Checkpoint, tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(tiny.directory, target)
    return target
