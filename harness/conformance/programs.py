"""Lowered programs in the cache: an entry for each test class, a folder for each configuration.

Lowering takes a second or more for each case and running it milliseconds, so a second run of the
suite is many times quicker. An entry's key holds what its bytes depend on: the versions of the
stack, upstream's sources, the corrections if they are used, and the class's configurations.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import harness
from harness.cache import digest_of, fetch, find, source_facts
from harness.conformance.cases import Case
from harness.conformance.trial import FILES, Mode
from harness.upstream import package_directory

__all__ = ["keep", "kept"]

_KIND = "conformance"
_STACK = ("torch", "executorch", "torchao", "transformers")


def kept(group: Sequence[Case], mode: Mode) -> Path | None:
    """Where the lowered programs of a whole class are, if they are; a folder by each index."""
    return find(_KIND, _name(group), _facts(group, mode))


def keep(group: Sequence[Case], mode: Mode, folders: Mapping[Case, Path]) -> None:
    """Keep what a whole class was lowered to; nothing if a case of it was not."""
    if any(not (folders[case] / name).is_file() for case in group for name in FILES):
        return

    def move(scratch: Path) -> None:
        for case in group:
            target = scratch / str(case.index)
            target.mkdir()
            for name in FILES:
                shutil.move(folders[case] / name, target / name)

    brief = f"{len(group)} programs, {'corrected' if mode.corrected else 'stock'} lowering"
    fetch(_KIND, _name(group), _facts(group, mode), move, brief=brief, fresh=True)


def _name(group: Sequence[Case]) -> str:
    return f"{group[0].suite}.{group[0].group}"


def _facts(group: Sequence[Case], mode: Mode) -> dict[str, Any]:
    return {
        "stack": _versions(),
        "upstream's sources": _upstream(),
        "corrections": _corrections() if mode.corrected else None,
        "configurations": [case.name for case in group],
    }


@cache
def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _STACK:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@cache
def _upstream() -> str:
    """Digest of the exporter's and the tests' sources: a checkout under work changes them."""
    root = package_directory("executorch.backends") / "mlx"
    files = [
        file
        for pattern in ("*.py", "*.fbs")
        for file in root.rglob(pattern)
        if "third-party" not in file.relative_to(root).parts
    ]
    return digest_of(json.dumps(source_facts(root, files), sort_keys=True).encode())


@cache
def _corrections() -> str:
    return digest_of((Path(harness.__path__[0]) / "export" / "corrections.py").read_bytes())
