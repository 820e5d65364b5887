"""Lowered programs in the cache: an entry for each test class, a folder for each configuration.

Lowering takes a second or more for each case and running it milliseconds, so a second run of the
suite is many times quicker. An entry's key holds what its bytes depend on: the versions of the
stack, upstream's sources, the corrections if they are used, and the class's configurations.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.cache import Recipe, digest_of, fetch, find, maker
from harness.conformance.cases import Case, Mode
from harness.conformance.trial import FILES

__all__ = ["keep", "kept"]

_STACK = ("torch", "executorch", "torchao", "transformers", "gguf")
_UPSTREAM = (
    "exir",
    "backends/mlx",
    "backends/mlx/test",
    "backends/mlx/custom_kernel_ops/test",
    "backends/mlx/custom_kernel_ops/gguf/test",
    "extension/llm/cache",
    "extension/llm/custom_ops",
    "extension/llm/export",
)
"""Parts of ExecuTorch that make a case and lower it; folders of tests are named by themselves."""

_RUNNING = ("harness.compare", "harness.pte", "harness.runtime")
"""Runs and judges what a case was lowered to, and does not lower it."""


def kept(group: Sequence[Case], mode: Mode) -> Path | None:
    """Where the lowered programs of a whole class are, if they are; a folder by each index."""
    return find(_recipe(group, mode))


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

    fetch(_recipe(group, mode), move, fresh=True)


def _recipe(group: Sequence[Case], mode: Mode) -> Recipe:
    brief = f"{len(group)} programs, {'corrected' if mode.corrected else 'stock'} lowering"
    name = f"{group[0].suite}.{group[0].group}"
    return Recipe("conformance", name, _facts(group, mode), brief)


def _facts(group: Sequence[Case], mode: Mode) -> dict[str, Any]:
    return {
        "maker": _maker(mode.corrected),
        "corrected": mode.corrected,
        "configurations": [case.name for case in group],
    }


@cache
def _maker(corrected: bool) -> str:
    """Digest of what lowers a case: a checkout under work changes it at the same versions."""
    facts = maker(
        "harness.conformance.trial",
        stack=_STACK,
        packages={"executorch": _UPSTREAM},
        without=_RUNNING if corrected else (*_RUNNING, "harness.export"),
    )
    return digest_of(json.dumps(facts, sort_keys=True).encode())
