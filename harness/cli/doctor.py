"""``voxtral-parity doctor``: what this machine can run."""

from __future__ import annotations

import platform
from importlib import metadata

from rich.markup import escape

from harness.cli.console import stdout

__all__ = ["doctor"]


def doctor() -> None:
    """Say what this machine can run, and with which versions."""
    from rich.table import Table

    from harness.export.corrections import CORRECTIONS
    from harness.files import cache_dir
    from harness.runtime.select import availability

    console = stdout()
    versions = Table("package", "installed", "pinned", title="Export stack", title_justify="left")
    for name, pinned in _pins().items():
        versions.add_row(name, _installed(name), pinned)
    executors = Table("executor", "here", title="Executors", title_justify="left")
    for name, reason in availability().items():
        executors.add_row(name, escape(reason or "can run"))
    corrections = Table(
        "--without", "what stock does", title="Corrections to stock lowering", title_justify="left"
    )
    for correction in CORRECTIONS:
        corrections.add_row(correction.name, escape(correction.wrong))
    console.print(versions, executors, corrections)
    console.print(f"cache: {cache_dir()}", soft_wrap=True, markup=False)
    console.print(f"python {platform.python_version()} on {platform.platform()}", soft_wrap=True)


def _pins() -> dict[str, str]:
    """The export stack's pins, read from the package's own metadata: pyproject.toml says them."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in metadata.requires("voxtral-parity") or []]
    stack = ("torch", "executorch", "torchao", "mlx", "mistral-common")
    return {r.name: str(r.specifier) for r in wanted if r.name in stack}


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
