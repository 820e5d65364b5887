"""Where derived files live, how they get there whole or not at all, and what is in a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from harness.errors import InputError

__all__ = ["cache_dir", "check_target", "file_digest", "replace_directory", "replace_file"]


def cache_dir() -> Path:
    """Root of the cache: ``$VOXTRAL_PARITY_CACHE``, else the user's cache directory."""
    override = os.environ.get("VOXTRAL_PARITY_CACHE")
    root = Path(override) if override else Path(platformdirs.user_cache_dir("voxtral-parity"))
    root.mkdir(parents=True, exist_ok=True)
    return root


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Yield a temporary name beside `target`; renamed onto it on success, removed on failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        os.chmod(scratch, 0o644)
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def replace_directory(target: Path) -> Iterator[Path]:
    """Yield a new directory beside `target`; renamed to it on success, removed on failure.

    `target` must not exist: directories cannot be replaced in one step, so callers hold a
    lock and make each one once.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        os.chmod(scratch, 0o755)
        os.rename(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_target(path: Path) -> None:
    """Refuse a path at which renaming a file would put it in the place of something else.

    Raises
    ------
    InputError
        There is a directory, or a device such as ``/dev/null``.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is a directory or a device, not a file")
