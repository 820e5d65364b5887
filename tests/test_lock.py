"""Locks hold a version of everything that pyproject.toml asks for, and no address."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


LOCKS = ("constraints.txt", "constraints-zoo.txt")


def locked(name: str = "constraints.txt") -> dict[str, str]:
    """Version by name, of this platform."""
    lines = (ROOT / name).read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


def asked_for() -> Iterator[Any]:
    """Each requirement, with the lock that must have it."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    sources = {"project": project["dependencies"], **project["optional-dependencies"], **groups}
    for source, lines in sources.items():
        lock = "constraints-zoo.txt" if source == "zoo" else "constraints.txt"
        for wanted in map(Requirement, lines):
            yield pytest.param(wanted, lock, id=f"{source}-{wanted.name}")


@pytest.mark.parametrize(("wanted", "lock"), asked_for())
def test_every_requirement_is_locked_in_a_version_that_it_allows(
    wanted: Requirement, lock: str
) -> None:
    assert wanted.specifier.contains(locked(lock)[canonicalize_name(wanted.name)])


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_name_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--" not in text.replace("# ", "")


def test_the_zoo_shares_what_it_can_with_the_shared_environment() -> None:
    shared, zoo = locked(), locked("constraints-zoo.txt")
    others = {name for name in zoo if shared.get(name, zoo[name]) != zoo[name]}
    assert others == {"transformers", "tokenizers"}


def test_the_export_stack_is_installed_as_locked() -> None:
    for name in ("torch", "executorch", "torchao", "mlx", "mistral-common"):
        assert metadata.version(name).partition("+")[0] == locked()[name]
