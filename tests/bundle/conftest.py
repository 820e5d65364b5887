"""Bundles of `tiny`, packed once a session, and the committed one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from harness.bundle.packing import Packed, pack, prepare
from harness.parity import Request

FIXTURES = Path(__file__).parents[2] / "fixtures" / "bundles"


@pytest.fixture
def v1() -> Path:
    """The bundle that every version must read."""
    return FIXTURES / "v1.bundle"


@pytest.fixture
def v1_observation() -> Path:
    """What an executor did with it."""
    return FIXTURES / "v1.observation"


@pytest.fixture(scope="session")
def packed() -> Callable[[tuple[str, ...]], Packed]:
    """What goes into a bundle of `tiny` with some methods, or with all and speech."""
    return cache(lambda methods: prepare(Request(methods=methods)))


@pytest.fixture(scope="session")
def whole(
    packed: Callable[[tuple[str, ...]], Packed], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The bundle of `tiny`: six methods, and speech."""
    path = tmp_path_factory.mktemp("bundles") / "tiny.bundle"
    pack(packed(()), path, commit="c0ffee0")
    return path
