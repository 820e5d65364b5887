"""What all cases share: a warm cache, a checkpoint, an exported pair and a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["ROOT", "World", "copy_site"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """Made below `directory` when first asked for; nothing in it may be changed in place.

    The cache is warmed by the program itself, in processes of their own, so that a case which
    gets as far as real work finds eager's run and both artifacts. It begins as a copy of `seed`,
    the user's own, which saves the warming most of its time.
    """

    directory: Path
    seed: Path | None = None
    warm: bool = True

    @cached_property
    def site(self) -> Path:
        """A copy of the package and its goldens, so that no case can write into the checkout."""
        target = self.directory / "site"
        copy_site(ROOT, target)
        return target

    @cached_property
    def cache(self) -> Path:
        """A cache in which `check`, `golden check` and `synth` of `tiny` find all they need."""
        cache = self.directory / "cache"
        if self.seed is not None and self.seed.is_dir():
            shutil.copytree(self.seed, cache, symlinks=True)
        cache.mkdir(exist_ok=True)
        if self.warm:
            self._run("-m", "harness.cli", "check", cache=cache)
        return cache

    @cached_property
    def artifacts(self) -> Path:
        """A directory with model.pte and codec_decoder.pte of `tiny` in fp32."""
        target = self.directory / "A"
        self._run("-m", "harness.cli", "export", "--output-dir", str(target), cache=self.cache)
        return target

    @cached_property
    def checkpoint(self) -> Path:
        """The directory of `tiny`, as a user would have a checkpoint."""
        target = self.directory / "T"
        program = (
            "from harness.checkpoint import open_checkpoint; "
            "print(open_checkpoint('tiny').directory)"
        )
        found = self._run("-c", program, cache=self.cache).splitlines()[-1]
        shutil.copytree(found, target)
        return target

    @cached_property
    def full_disk(self) -> Path | None:
        """A file system without room; None where this process may not mount one."""
        target = self.directory / "full"
        target.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(target)]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            mounted = False
        if not mounted:
            return None
        with (target / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        return target

    def make(self) -> None:
        """Make everything now, before processes are forked that would each make it."""
        _ = self.site, self.cache, self.full_disk
        if self.warm:
            _ = self.artifacts, self.checkpoint

    def close(self) -> None:
        """Take the full disk away; the directory is the caller's."""
        if self.__dict__.get("full_disk") is not None:
            subprocess.run(["umount", str(self.directory / "full")], check=False)

    def _run(self, *arguments: str, cache: Path) -> str:
        environment = {
            **os.environ,
            "VOXTRAL_PARITY_CACHE": str(cache),
            "PYTHONPATH": str(self.site),
        }
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, cwd=self.site
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done.stdout


def copy_site(source: Path, target: Path) -> None:
    """Copy what a checkout needs to run: the package, the goldens and pyproject.toml."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("harness", "golden"):
        shutil.copytree(source / name, target / name, ignore=ignore)
    shutil.copy(source / "pyproject.toml", target)
