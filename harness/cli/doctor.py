"""``voxtral-parity doctor``: what this machine can run, and what to do where it cannot."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.markup import escape
from rich.table import Table

import harness
from harness.cli.console import stdout
from harness.errors import HarnessError

__all__ = ["doctor"]

_STACK = ("torch", "executorch", "torchao", "mlx", "mistral-common")

_NEEDED_DISK = 500 << 20
"""Bytes that the main job writes to an empty cache, with some to spare."""

_NEEDED_MEMORY = 2 << 30
"""Bytes that the main job holds at its peak, with some to spare."""


class _State(StrEnum):
    GOOD = "✓"
    LESS = "–"
    """Something optional is missing."""
    BAD = "✗"
    """The main job cannot run, or not as it was proven."""


@dataclass(frozen=True)
class _Finding:
    """What was looked at, what was found, and one sentence of advice."""

    subject: str
    found: str
    state: _State = _State.GOOD
    advice: str = ""


def doctor() -> None:
    """Say what this machine can run, with which versions, and what to do where it cannot.

    Exit code 0: the main job can run here. 2: it cannot, or not as it was proven.
    """
    from harness.export.corrections import CORRECTIONS

    console = stdout()
    findings = [*_versions(), *_executors(), *_recognisers(), *_cache(), *_memory()]
    table = Table("", "what", "found", "what to do")
    for finding in findings:
        cells = (finding.state, finding.subject, finding.found, finding.advice)
        table.add_row(*map(escape, cells))
    corrections = Table(
        "--without", "what stock does", title="Corrections to stock lowering", title_justify="left"
    )
    for correction in CORRECTIONS:
        corrections.add_row(correction.name, escape(correction.wrong))
    console.print(corrections, table)
    bad = sum(finding.state is _State.BAD for finding in findings)
    code = 2 if bad else 0
    outcome = f"{bad} to mend" if bad else "the main job can run here: voxtral-parity check"
    console.print(f"{outcome} → exit code {code}", soft_wrap=True, markup=False)
    raise typer.Exit(code)


def _versions() -> Iterator[_Finding]:
    """Python and the export stack, against what pyproject.toml asks for and the lock."""
    yield _Finding("python", f"{platform.python_version()} on {platform.platform()}")
    locked = {pin.name: str(pin.specifier).removeprefix("==") for pin in _locked()}
    for wanted in _wanted():
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield _Finding(
                wanted.name, "missing", _State.BAD, "install it: python -m pip install -e ."
            )
            continue
        found = f"{installed} (pinned {wanted.specifier})"
        exact = locked.get(canonicalize_name(wanted.name))
        if not wanted.specifier.contains(installed, prereleases=True):
            advice = f"install {wanted.name}{wanted.specifier}, the version that was proven"
            yield _Finding(wanted.name, found, _State.BAD, advice)
        elif exact is not None and installed.partition("+")[0] != exact:
            advice = f"constraints.txt has {exact}: python -m pip install -c constraints.txt -e ."
            yield _Finding(wanted.name, found, _State.LESS, advice)
        else:
            yield _Finding(wanted.name, found)
    yield from _embedded_mlx()


def _embedded_mlx() -> Iterator[_Finding]:
    """MLX of the native runtime, beside that of the portable executor."""
    from harness.upstream import MACOS_WHEELS, embedded_mlx

    subject = "mlx inside executorch"
    try:
        inside, portable = embedded_mlx(), metadata.version("mlx")
        executorch = metadata.version("executorch")
    except (HarnessError, metadata.PackageNotFoundError) as error:
        yield _Finding(subject, str(error), _State.LESS, "reinstall executorch and mlx")
        return
    known = inside or MACOS_WHEELS.get(executorch)
    if known is None:
        advice = f"record the MLX of executorch {executorch} in harness/upstream.py"
        yield _Finding(subject, "unknown", _State.LESS, advice)
        return
    found = known if inside else f"{known} in the macOS wheel; this one has no MLX backend"
    if known == portable:
        yield _Finding(subject, found)
    else:
        yield _Finding(subject, found, _State.LESS, f"install mlx=={known}, so that both agree")


def _executors() -> Iterator[_Finding]:
    from harness.runtime.select import availability

    for name, reason in availability().items():
        if reason is None:
            yield _Finding(f"executor {name}", "can run")
        else:
            state = _State.BAD if name == "portable" else _State.LESS
            advice = {
                "native": "use --executor portable here, and Apple Silicon for native",
                "portable": "reinstall mlx",
                "xnnpack": "reinstall executorch to use --triangulate",
            }[name]
            yield _Finding(f"executor {name}", reason, state, advice)


def _recognisers() -> Iterator[_Finding]:
    here = {
        "apple": sys.platform == "darwin",
        "pocketsphinx": importlib.util.find_spec("pocketsphinx") is not None,
        "whisper": any(map(importlib.util.find_spec, ("mlx_whisper", "whisper"))),
    }
    advice = {
        "apple": "needs macOS; use --asr pocketsphinx elsewhere",
        "pocketsphinx": "install it: python -m pip install 'voxtral-parity[asr]'",
        "whisper": "install mlx-whisper on Apple Silicon, openai-whisper elsewhere",
    }
    for name, present in here.items():
        if present:
            yield _Finding(f"--asr {name}", "can listen")
        else:
            yield _Finding(f"--asr {name}", "not here", _State.LESS, advice[name])


def _cache() -> Iterator[_Finding]:
    """Whether it can be written, what it holds and what is free on its disk."""
    from rich.filesize import decimal

    from harness.cache import bound, entries
    from harness.files import cache_dir, replace_file

    try:
        root, limit = cache_dir(), bound()
        probe = root / f"doctor-{os.getpid()}"
        with replace_file(probe) as scratch:
            scratch.write_bytes(bytes(1 << 16))
        probe.unlink()
        held, free = sum(entry.bytes for entry in entries()), shutil.disk_usage(root).free
    except (HarnessError, OSError) as error:
        advice = "set VOXTRAL_PARITY_CACHE to a directory that can be written"
        yield _Finding("cache", str(error), _State.BAD, advice)
        return
    yield _Finding("cache", f"{root}: {decimal(held)} of {decimal(limit)}, can be written")
    if free < _NEEDED_DISK:
        advice = "free some, or move the cache by VOXTRAL_PARITY_CACHE"
        yield _Finding("disk of the cache", f"{decimal(free)} free", _State.BAD, advice)
    else:
        yield _Finding("disk of the cache", f"{decimal(free)} free")


def _memory() -> Iterator[_Finding]:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        yield _Finding("memory", "unknown", _State.LESS, "the main job needs 2 GB")
        return
    found = f"{total / 1e9:.0f} GB, {os.cpu_count()} cores"
    if total < _NEEDED_MEMORY:
        yield _Finding("memory", found, _State.BAD, "the main job needs 2 GB")
    elif total < 24e9:
        yield _Finding("memory", found, _State.LESS, "--checkpoint full needs 24 GB")
    else:
        yield _Finding("memory", found)


def _checkout() -> Path | None:
    """Directory of the source checkout that this package is in, if it is in one."""
    root = Path(harness.__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def _wanted() -> list[Requirement]:
    """The pins of the export stack."""
    root = _checkout()
    if root is None:
        lines = metadata.requires("voxtral-parity") or []
    else:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        lines = project["project"]["dependencies"]
    return [pin for pin in map(Requirement, lines) if canonicalize_name(pin.name) in _STACK]


def _locked() -> list[Requirement]:
    """The lock's pins that hold on this platform; none outside a checkout."""
    root = _checkout()
    if root is None or not (root / "constraints.txt").is_file():
        return []
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
