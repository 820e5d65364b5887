"""Make the executorch wheel's MLX exporter importable on every platform.

The macOS arm64 wheel carries the MLX delegate's generated serialisation modules; the Linux
wheel carries only their generator (`serialization/generate.py`), its input (`schema.fbs`) and
`flatc`. `enable_mlx_exporter` runs that generator once into our cache directory and puts the
result in front of the wheel's package by an import hook. site-packages is never written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import logging
import os
import re
import runpy
import shutil
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from harness.errors import UnavailableError
from harness.files import cache_dir, replace_directory, replace_file

__all__ = [
    "MACOS_WHEELS",
    "embedded_mlx",
    "enable_mlx_exporter",
    "flatc",
    "overlay_directory",
    "package_directory",
    "parts",
    "quiet",
    "quietly_loaded",
]

MACOS_WHEELS = {"1.5.1": "0.32.2"}
"""MLX inside the macOS arm64 wheel of each executorch, as `embedded_mlx` reads it there."""

_SERIALIZATION = "executorch.backends.mlx.serialization"
_INSPECTOR = "executorch.backends.mlx._generated_inspector"
_SOURCES = ("__init__.py", "generate.py", "mlx_graph_serialize.py", "schema.fbs")

_NOISY = ("torch.__trace", "torch._subclasses.fake_tensor")
"""Loggers that no level keeps off: tools alone read the one; the other logs, with a traceback, an
exception that it raises again."""

_CPP_LEVEL = "TORCH_CPP_LOG_LEVEL"

_QUANTIZERS = {
    "executorch": ("extension/llm/export",),
    "torchao": ("quantization", "prototype/quantization", "utils.py"),
}
"""Parts of upstream's packages that quantise a layer."""


def parts(*executorch: str, quantized: bool) -> dict[str, tuple[str, ...]]:
    """Parts of upstream's packages that a result depends on: these, and those that quantise."""
    if not quantized:
        return {"executorch": executorch}
    return {**_QUANTIZERS, "executorch": (*executorch, *_QUANTIZERS["executorch"])}


def enable_mlx_exporter() -> None:
    """Make ``executorch.backends.mlx`` importable; does nothing where the wheel is complete.

    An `UnavailableError` where executorch is not installed, or has neither the generated modules
    nor their generator.
    """
    if any(isinstance(finder, _Overlay) for finder in sys.meta_path):
        return
    serialization = _mlx_package() / "serialization"
    if (serialization / "mlx_graph_schema.py").exists():
        return
    sys.meta_path.insert(0, _Overlay(overlay_directory()))


def overlay_directory() -> Path:
    """Directory of the generated modules, made on first use; one per generator and schema."""
    source = _mlx_package() / "serialization"
    missing = [name for name in _SOURCES if not (source / name).exists()]
    if missing:
        raise UnavailableError(
            f"executorch {importlib.metadata.version('executorch')} has no MLX exporter: "
            f"{', '.join(missing)} not found in backends/mlx/serialization; "
            "install the version that pyproject.toml pins"
        )
    digest = hashlib.sha256(importlib.metadata.version("executorch").encode())
    for name in _SOURCES:
        digest.update((source / name).read_bytes())
    target = cache_dir() / "mlx-serialization" / digest.hexdigest()[:16]
    if not target.exists():
        from filelock import FileLock

        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.exists():
                with replace_directory(target) as scratch:
                    _generate(source, scratch)
    return target


def flatc() -> str:
    """Path of a runnable `flatc`; the wheel's own, copied to the cache if it may not run."""
    shipped = package_directory("executorch.data.bin") / "flatc"
    found = str(shipped) if shipped.exists() else shutil.which("flatc")
    if found is None:
        raise UnavailableError(
            "flatc is neither in the executorch wheel (data/bin/flatc) nor on PATH; "
            "install Debian's flatbuffers-compiler or Homebrew's flatbuffers"
        )
    if os.access(found, os.X_OK):
        return found
    copy = cache_dir() / f"flatc-{importlib.metadata.version('executorch')}"
    if not copy.exists():
        with replace_file(copy) as scratch:
            shutil.copyfile(found, scratch)
            scratch.chmod(scratch.stat().st_mode | stat.S_IXUSR)
    return str(copy)


def _generate(source: Path, target: Path) -> None:
    """Run upstream's generator on a copy of its folder, so that it writes only there."""
    package = target / "serialization"
    package.mkdir()
    for name in _SOURCES:
        shutil.copyfile(source / name, package / name)
    for template in source.glob("*.tmpl"):
        shutil.copyfile(template, package / template.name)
    (target / "runtime").mkdir()
    generator = SimpleNamespace(**runpy.run_path(str(package / "generate.py")))
    # The C++ loader is made from templates that the wheel leaves out; Python needs none of it.
    schema = generator.parse_fbs(generator.SCHEMA_FBS)
    with contextlib.redirect_stdout(io.StringIO()) as log:
        done = generator.run_flatc(flatc())
        generator._fixup_flatc_imports()
    if not done:
        raise UnavailableError(f"flatc could not compile schema.fbs: {log.getvalue().strip()}")
    (generator.GENERATED_DIR / "__init__.py").touch()
    generator.GENERATED_SCHEMA_PY.write_text(generator.generate_python_schema(schema))
    generator.GENERATED_SERIALIZERS.write_text(generator.generate_python_serializers(schema))
    generator.GENERATED_INSPECTOR.write_text(generator.generate_inspector(schema))


class _Overlay(importlib.abc.MetaPathFinder):
    """Finds the serialisation package and the inspector's field table in our directory."""

    def __init__(self, root: Path) -> None:
        self._files = {
            _SERIALIZATION: root / "serialization" / "__init__.py",
            _INSPECTOR: root / "_generated_inspector.py",
        }

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Spec of the two overlaid names; None for every other module."""
        file = self._files.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


def embedded_mlx(directory: Path | None = None) -> str | None:
    """Version of the MLX that executorch's MLX backend was built with, as ``"0.32.2"``.

    `directory` is that of the executorch package, by default the installed one. None where it has
    no MLX backend, as on Linux; an `UnavailableError` unless the library holds exactly one version.

    References
    ----------
    ``mlx/version.cpp``: `version` returns the bare version, the only such text in the library.
    """
    directory = package_directory("executorch") if directory is None else directory
    library = directory / "lib" / "libexecutorch_backend_mlx.dylib"
    if not library.is_file():
        return None
    found = set(re.findall(rb"\0(\d+\.\d+\.\d+)(?=\0)", library.read_bytes()))
    if len(found) != 1:
        raise UnavailableError(
            f"{library.name} must hold one version of MLX (got {len(found)}); "
            "update `embedded_mlx` for this wheel"
        )
    return found.pop().decode()


def _mlx_package() -> Path:
    return package_directory("executorch.backends") / "mlx"


def package_directory(name: str) -> Path:
    """Directory of an installed package, found without importing its MLX subpackage."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(f"{name} is not installed; run `python -m pip install -e .`")
    return Path(next(iter(spec.submodule_search_locations)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep upstream's chatter off the user's screen: optional kernels, deprecations."""
    level = logging.root.manager.disable
    loggers = [logger for logger in map(logging.getLogger, _NOISY) if not logger.disabled]
    for logger in loggers:
        logger.disabled = True
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        for logger in loggers:
            logger.disabled = False


@contextlib.contextmanager
def quietly_loaded() -> Iterator[None]:
    """Let torch's C++ write errors alone, not warnings, wherever it is loaded in the block.

    That is here, or in processes that start in the block: it reads its level once. Some of its
    warnings do not pass through Python, so that `quiet` cannot keep them off. A level that the
    user has set stays.
    """
    given = os.environ.get(_CPP_LEVEL)
    os.environ.setdefault(_CPP_LEVEL, "ERROR")
    try:
        yield
    finally:
        if given is None:
            del os.environ[_CPP_LEVEL]
