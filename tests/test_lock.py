"""constraints.txt holds a version of everything that pyproject.toml asks for, and no address."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked() -> dict[str, str]:
    """Version by name, of this platform."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


def asked_for() -> Iterator[Requirement]:
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    for lines in (
        project["dependencies"], *project["optional-dependencies"].values(), *groups.values()
    ):  # fmt: skip
        yield from map(Requirement, lines)


@pytest.mark.parametrize("wanted", asked_for(), ids=lambda requirement: requirement.name)
def test_every_requirement_is_locked_in_a_version_that_it_allows(wanted: Requirement) -> None:
    assert wanted.specifier.contains(locked()[canonicalize_name(wanted.name)])


def test_the_lock_names_no_registry() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text.replace("# ", "")


def test_the_export_stack_is_installed_as_locked() -> None:
    for name in ("torch", "executorch", "torchao", "mlx", "mistral-common"):
        assert metadata.version(name).partition("+")[0] == locked()[name]
