"""Facts that many keys share: the sources, versions and machine that a cached thing depends on.

`closure` follows our own imports from the module that makes the thing, so that nobody has to keep
a list of files. It reads import lines and runs nothing: all of harness/ takes some 25 ms.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import harness
from harness.cache.facts import source_facts
from harness.upstream import package_directory

__all__ = ["closure", "maker", "package_sources"]

_ROOT = Path(harness.__file__).parent

_PLUMBING = frozenset(
    f"harness.{name}" for name in ("cache", "errors", "files", "memory", "process")
)
"""Never followed: they store, move and report what is made, and shape none of it."""

_JUDGES = (
    "harness.budget",
    "harness.checkpoint.generate",
    "harness.checkpoint.presets",
    "harness.compare",
    "harness.methods.catalog",
    "harness.pte.flatbuffer",
    "harness.pte.plan",
    "harness.pte.program",
)
"""Not followed either: they judge what is made, read an exported
file, and write a checkpoint, whose digest is a fact by itself."""

_BESIDE = {"examples", "test", "tests", "third-party"}
"""Folders of a package that nobody imports to make anything."""

_IMPORT = re.compile(rb" harness((?:\.\w+)*)(?: import (\([^)]*\)|[^\n]*))?")
"""``from harness.a import b`` or ``import harness.a``; what stands before says which."""

_COMMENT = re.compile(r"#[^\n]*")

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ATEN_CPU_CAPABILITY",
)
"""Variables by which a user changes how BLAS, oneDNN and torch add up their sums."""


def maker(
    *modules: str,
    stack: Iterable[str],
    packages: Mapping[str, Iterable[str]] = MappingProxyType({}),
    without: Iterable[str] = (),
) -> dict[str, Any]:
    """All that a result depends on besides its inputs, as facts of a cache's key.

    Parameters
    ----------
    *modules, without
        Whose code makes it, and what of that only judges besides what never counts; see `closure`.
    stack
        Distributions whose version counts.
    packages
        Parts of installed packages whose sources count; see `package_sources`.
    """
    sources = {name: package_sources(name, *parts) for name, parts in packages.items()}
    sources["voxtral-parity"] = closure(*modules, without=(*_JUDGES, *without))
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in stack:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {"versions": versions, "machine": _machine(), "sources": sources}


def closure(*modules: str, without: Iterable[str] = ()) -> dict[str, str]:
    """Digest of every module of ours that `modules` import, by its path in harness/.

    Imports inside functions count. A name that a package's front re-exports leads to the module
    that defines it, not to all that the front imports. Modules and packages in `without` are not
    followed, because they only judge what is made. A name of either that is no module of ours is a
    `ModuleNotFoundError`: a key would silently miss it.
    """
    return dict(_closure(modules, tuple(without)))


@cache
def _closure(modules: tuple[str, ...], without: tuple[str, ...]) -> dict[str, str]:
    known = _modules()
    for name in (*modules, *without):
        if name not in known:
            raise ModuleNotFoundError(f"{name} is no module of harness/", name=name)
    stop = tuple(_PLUMBING | set(without))
    inside = tuple(f"{name}." for name in stop)
    wanted = [(name, "") for name in modules]
    seen: set[tuple[str, str]] = set()
    files: dict[str, bytes] = {}
    while wanted:
        module, name = step = wanted.pop()
        if f"{module}.{name}" in known:
            module, name = step = f"{module}.{name}", ""
        if step in seen or module in stop or module.startswith(inside) or module not in known:
            continue
        seen.add(step)
        content, imports = _read(known[module])
        through = [(where, old) for where, old, new in imports if new == name]
        if not (through and known[module].endswith("__init__.py")):
            files[Path(known[module]).relative_to(_ROOT).as_posix()] = content
            through = [(where, old) for where, old, _ in imports]
        wanted += through
    return source_facts(files)


@cache
def _modules() -> dict[str, str]:
    """Path of each module of ours, by its dotted name."""
    found = {}
    for file in _ROOT.rglob("*.py"):
        dotted = ".".join(["harness", *file.relative_to(_ROOT).with_suffix("").parts])
        found[dotted.removesuffix(".__init__")] = str(file)
    return found


@cache
def _read(path: str) -> tuple[bytes, tuple[tuple[str, str, str], ...]]:
    """Content of a module, and its imports of ours: from where, what ("": the module), as what."""
    content = Path(path).read_bytes()
    return content, tuple(_imports(content))


def _imports(content: bytes) -> Iterator[tuple[str, str, str]]:
    for match in _IMPORT.finditer(content):
        start = match.start()
        before = content[content.rfind(b"\n", 0, start) + 1 : start].strip()
        module = "harness" + match[1].decode()
        if before == b"import":
            yield module, "", module
        elif before == b"from" and match[2] is not None:
            for part in _COMMENT.sub("", match[2].decode()).strip("() \t\r\n").split(","):
                old, _, new = part.strip().partition(" as ")
                if old:
                    yield module, old, new.strip() or old


@cache
def package_sources(package: str, *parts: str) -> dict[str, str]:
    """Digest of each source (``.py``, ``.fbs``) below `parts` of an installed package.

    Content counts, whatever version the package says it is. Tests and examples below a part do
    not, unless the part is itself one. A part is a folder or a file; a missing one is an
    `OSError`.
    """
    root = package_directory(package)
    files: dict[str, bytes] = {}
    for part in parts:
        for folder, below, names in os.walk(root / part):
            below[:] = [name for name in below if name not in _BESIDE]
            for name in names:
                if name.endswith((".py", ".fbs")):
                    file = Path(folder, name)
                    files[file.relative_to(root).as_posix()] = file.read_bytes()
        if not os.path.isdir(root / part):
            files[part] = (root / part).read_bytes()
    return source_facts(files)


def _machine() -> dict[str, str]:
    """What else a float result depends on: the processor, and the threads that share a sum.

    BLAS and oneDNN choose their kernels by the processor and are part of torch's and numpy's
    wheels, so that their versions are those of the wheels.
    """
    linux = sys.platform == "linux"
    processors = len(os.sched_getaffinity(0)) if linux else os.cpu_count()
    settings = {name: os.environ[name] for name in _THREADS if name in os.environ}
    return {"processor": _processor(), "processors": str(processors), **settings}


@cache
def _processor() -> str:
    if sys.platform == "linux":
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
        listed = set(flags[1].split()) if flags else set()
        wide = sorted(flag for flag in listed if flag.startswith(("avx", "amx", "sve", "bf16")))
        return " ".join([found[1] if found else platform.machine(), *wide])
    return f"{platform.machine()} {platform.processor()} {platform.mac_ver()[0]}".strip()
