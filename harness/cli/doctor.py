"""``voxtral-parity doctor``: what this machine can run, and what to do where it cannot."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

import harness
from harness.cli.console import stdout
from harness.cli.options import option
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


def doctor(
    regime: Annotated[
        str | None,
        option("--regime", "E", "Also measure how exactly an executor multiplies: portable, …"),
    ] = None,
) -> None:
    """Say what this machine can run, with which versions, and what to do where it cannot.

    Exit code 0: the main job can run here. 2: it cannot, or not as it was proven; or, with
    --regime, kernels of this machine are wrong.
    """
    from harness.export.corrections import CORRECTIONS

    console = stdout()
    measured = [] if regime is None else [*_regime(regime)]  # before MLX is lent another BLAS
    findings = [*_versions(), _embedded_mlx(), *_executors(), *_recognisers(), *_cache(), _memory()]
    findings += measured
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
    """The export stack, against what pyproject.toml asks for and the lock."""
    yield _Finding("python", f"{platform.python_version()} on {platform.platform()}")
    wanted, locked = _pins()
    for pin in wanted:
        try:
            installed = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            advice = "install it: python -m pip install -e ."
            yield _Finding(pin.name, "missing", _State.BAD, advice)
            continue
        exact, state, advice = locked.get(canonicalize_name(pin.name)), _State.GOOD, ""
        if not pin.specifier.contains(installed, prereleases=True):
            state = _State.BAD
            advice = f"install {pin.name}{pin.specifier}, the version that was proven"
        elif exact is not None and installed.partition("+")[0] != exact:
            state = _State.LESS
            advice = f"constraints.txt has {exact}: python -m pip install -c constraints.txt -e ."
        yield _Finding(pin.name, f"{installed} (pinned {pin.specifier})", state, advice)


def _embedded_mlx() -> _Finding:
    """MLX of the native runtime, beside that of the portable executor."""
    from harness.upstream import MACOS_WHEELS, embedded_mlx

    subject = "mlx inside executorch"
    try:
        inside, portable = embedded_mlx(), metadata.version("mlx")
        executorch = metadata.version("executorch")
    except (HarnessError, metadata.PackageNotFoundError) as error:
        return _Finding(subject, str(error), _State.LESS, "reinstall executorch and mlx")
    known = inside or MACOS_WHEELS.get(executorch)
    if known is None:
        advice = f"record the MLX of executorch {executorch} in harness/upstream.py"
        return _Finding(subject, "unknown", _State.LESS, advice)
    found = known if inside else f"{known} in the macOS wheel; this one has no MLX backend"
    if known == portable:
        return _Finding(subject, found)
    return _Finding(subject, found, _State.LESS, f"install mlx=={known}, so that both agree")


def _executors() -> Iterator[_Finding]:
    from harness.runtime.select import availability

    advice = {
        "native": "use --executor portable here, and Apple Silicon for native",
        "portable": "reinstall mlx",
        "portable:gpu": "use --executor portable here; a GPU is only needed to look inside native",
        "xnnpack": "reinstall executorch to use --triangulate",
    }
    for name, reason in availability().items():
        subject, state = f"executor {name}", _State.BAD if name == "portable" else _State.LESS
        if reason is None:
            yield _Finding(subject, "can run")
        else:
            yield _Finding(subject, reason, state, advice[name])


def _regime(name: str) -> Iterator[_Finding]:
    """How exactly an executor multiplies, kind by kind, and which kernels are wrong."""
    from harness.budget.regimes import PRODUCTS
    from harness.runtime.select import choose

    with closing(choose(name)) as executor:
        regime = executor.regime()
    if regime is None:
        advice = "use portable or one of its kin"
        yield _Finding(f"regime of {name}", "cannot be measured", _State.LESS, advice)
        return
    yield _Finding(f"regime of {name}", f"{regime.name}, by {regime.canaries} products")
    for kind in PRODUCTS:
        found = {
            dtype: regime.products.get(f"{kind} {dtype}", "wrong")
            for dtype in ("float32", "float16", "bfloat16")
        }
        yield _Finding(kind, ", ".join(f"{dtype} {which}" for dtype, which in found.items()))
    for fault in regime.faults:
        yield _Finding("kernel", str(fault), _State.BAD, "judge on another machine")


def _recognisers() -> Iterator[_Finding]:
    installed = importlib.util.find_spec
    advice = "install it: python -m pip install 'voxtral-parity[asr]'"
    whisper = "install mlx-whisper on Apple Silicon, openai-whisper elsewhere"
    for name, present, otherwise in (
        ("apple", sys.platform == "darwin", "needs macOS; use --asr pocketsphinx elsewhere"),
        ("pocketsphinx", installed("pocketsphinx"), advice),
        ("whisper", installed("mlx_whisper") or installed("whisper"), whisper),
    ):
        if present:
            yield _Finding(f"--asr {name}", "can listen")
        else:
            yield _Finding(f"--asr {name}", "not here", _State.LESS, otherwise)


def _cache() -> Iterator[_Finding]:
    """Whether it can be written, what it holds and what is free on its disk."""
    from harness.cache import bound, entries
    from harness.files import cache_dir, check_directory

    try:
        root, limit = cache_dir(), bound()
        check_directory(root)
        held, free = sum(entry.bytes for entry in entries()), shutil.disk_usage(root).free
    except (HarnessError, OSError) as error:
        advice = "set VOXTRAL_PARITY_CACHE to a directory that can be written"
        yield _Finding("cache", str(error), _State.BAD, advice)
        return
    yield _Finding("cache", f"{root}: {decimal(held)} of {decimal(limit)}, can be written")
    state, advice = _State.GOOD, ""
    if free < _NEEDED_DISK:
        state, advice = _State.BAD, "free some, or move the cache by VOXTRAL_PARITY_CACHE"
    yield _Finding("disk of the cache", f"{decimal(free)} free", state, advice)


def _memory() -> _Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return _Finding("memory", "unknown", _State.LESS, "the main job needs 2 GB")
    found = f"{total / 1e9:.0f} GB, {os.cpu_count()} cores"
    if total < _NEEDED_MEMORY:
        return _Finding("memory", found, _State.BAD, "the main job needs 2 GB")
    if total < 24e9:
        return _Finding("memory", found, _State.LESS, "--checkpoint full needs 24 GB")
    return _Finding("memory", found)


def _pins() -> tuple[list[Requirement], dict[str, str]]:
    """The pins of the export stack, and the lock's versions for this platform, in a checkout."""
    project = Path(harness.__file__).resolve().parents[1] / "pyproject.toml"
    lock = project.with_name("constraints.txt")
    lines, locked = metadata.requires("voxtral-parity") or [], list[Requirement]()
    if project.is_file():
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
        if lock.is_file():
            text = lock.read_text(encoding="utf-8").splitlines()
            locked = [Requirement(line) for line in text if line and not line.startswith("#")]
    wanted = [pin for pin in map(Requirement, lines) if canonicalize_name(pin.name) in _STACK]
    here = [pin for pin in locked if pin.marker is None or pin.marker.evaluate()]
    return wanted, {pin.name: str(pin.specifier).removeprefix("==") for pin in here}
