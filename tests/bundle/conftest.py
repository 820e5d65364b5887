"""Bundles of `tiny`, packed once a run of the tests, and the committed one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from harness.bundle.contents import open_bundle
from harness.bundle.observing import observe_bundle, write_observation
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


Shared = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Gives a file that one of the workers of a run makes, and all of them read."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if root.name.startswith("popen-") else root

    def get(name: str, make: Callable[[Path], object]) -> Path:
        path = root / name
        with FileLock(f"{path}.lock"):
            if not path.exists():
                make(path)
        return path

    return get


@pytest.fixture(scope="session")
def whole(packed: Callable[[tuple[str, ...]], Packed], shared: Shared) -> Path:
    """The bundle of `tiny`: six methods, and speech."""
    return shared("tiny.bundle", lambda path: pack(packed(()), path, commit="c0ffee0"))


@pytest.fixture(scope="session")
def observed(whole: Path, shared: Shared) -> Path:
    """What the portable executor does with the whole bundle, as a file."""

    def make(path: Path) -> None:
        with open_bundle(whole) as bundle:
            write_observation(observe_bundle(bundle, "portable"), path)

    return shared("tiny.observation", make)
