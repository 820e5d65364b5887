"""Open a checkpoint: a preset's, or a directory's, checked before any weight is read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.cache import Recipe, closure, hold, read_or_make, remembered
from harness.checkpoint.config import Config, read_config
from harness.checkpoint.generate import recipe_digest, synthesize
from harness.checkpoint.presets import PRESETS
from harness.checkpoint.safetensors_file import TensorEntry, non_finite_tensor, read_header
from harness.checkpoint.shapes import tensor_shapes
from harness.checkpoint.tokenizer import check_tokenizer
from harness.errors import CheckpointError, HarnessError, InputError, brief
from harness.files import file_digest, read_json, write_json

__all__ = ["DEFAULT_VOICE", "MAX_VOICE_ROWS", "Checkpoint", "open_checkpoint"]

WEIGHTS = "consolidated.safetensors"
_FILES = ("params.json", WEIGHTS, "tekken.json")
_DIGESTS = "digests.json"

DEFAULT_VOICE = "neutral_female"
"""Upstream's default."""

MAX_VOICE_ROWS = 1 << 14
"""Rows of a voice's embedding: more than any KV cache takes as a prompt."""

_VOICE_SUFFIXES = (".pt", ".bin")

_NAMED = 5
"""Tensors that an error names; the rest are counted."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint directory whose files are whole and agree with one another.

    Attributes
    ----------
    name
        The preset's name, else the directory's; of a directory called like a preset, with
        "(directory)" after it.
    directory, params, config
        Where the files are, the contents of `params.json`, and the numbers in it, checked.
    preset
        Which preset it is; None for a directory of whatever name.
    digests
        sha256 in hex of those files that were hashed when it was opened.
    """

    name: str
    directory: Path
    params: Mapping[str, Any] = field(repr=False)
    config: Config = field(repr=False)
    preset: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)

    def usual_voice(self) -> str | None:
        """Upstream's default voice where the checkpoint has it, else its first; None: no voice."""
        voices = self.voices()
        return DEFAULT_VOICE if DEFAULT_VOICE in voices else next(iter(voices), None)

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, over the contents of the weights, the parameters and the tokenizer."""
        digest = hashlib.sha256()
        for name in _FILES:
            found = self.digests.get(name) or _digest(self.directory / name)
            digest.update(f"{name} {found}\n".encode())
        return digest.hexdigest()

    def non_finite_tensor(self) -> tuple[str, int] | None:
        """First tensor that holds NaN or infinity, and how many."""
        code = closure("harness.checkpoint.safetensors_file")
        found = remembered("non-finite", self.weights, non_finite_tensor, code)
        return None if found is None else (str(found[0]), int(found[1]))

    @property
    def weights(self) -> Path:
        """Path of the safetensors file."""
        return self.directory / WEIGHTS

    @property
    def tokenizer(self) -> Path:
        """Path of the Tekken tokenizer."""
        return self.directory / "tekken.json"

    def voices(self) -> tuple[str, ...]:
        """Names of the voices that have an embedding, in alphabetical order."""
        try:
            files = list((self.directory / "voice_embedding").iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(sorted({file.stem for file in files if file.suffix in _VOICE_SUFFIXES}))

    def find_voice(self, voice: str | None) -> Path | None:
        """Path of the embedding that `voice` means, by upstream's rules.

        `voice` is a voice's name; or the path of a `.pt` or `.bin` file, or the name of one in
        `voice_embedding/`. None means upstream's default voice, and the result is None if the
        checkpoint does not have that one: upstream's runner then speaks without a voice.

        Raises
        ------
        InputError
            There is no such voice.
        """
        if voice is None:
            return self.voice_file(DEFAULT_VOICE) if DEFAULT_VOICE in self.voices() else None
        path = Path(voice)
        # Upstream looks for a bare name in the working directory too, where a folder of that name
        # would be taken for it.
        if voice == path.stem:
            return self.voice_file(voice)
        for candidate in (path, self.directory / "voice_embedding" / path.name):
            with contextlib.suppress(OSError, ValueError):  # too long a name, or a NUL in it
                if candidate.exists():
                    return self._bounded(candidate)
        raise InputError(
            f"there is no voice file {brief(voice, 200)}, here or in {self.directory}/"
            "voice_embedding/"
        )

    def _bounded(self, voice: Path) -> Path:
        """Refuse a file that is no voice by its size, before anybody hashes gigabytes."""
        size, limit = voice.stat().st_size, MAX_VOICE_ROWS * self.config.decoder.dim * 4 + (1 << 20)
        if size > limit:
            raise CheckpointError(
                f"voice {voice} has {size:,} bytes, and at most {limit:,} are read; is it the "
                "right file?"
            )
        return voice

    def voice_note(self, voice: str | None) -> str | None:
        """What to tell the user where `voice` means none: upstream speaks without a word."""
        if self.find_voice(voice) is not None:
            return None
        return (
            f"checkpoint {self.name} has no voice {DEFAULT_VOICE} in voice_embedding/: it speaks "
            "without a voice, as upstream's runner does; name one by --voice"
        )

    def voice_file(self, name: str) -> Path:
        """Path of a named voice's embedding, `.pt` before `.bin` as upstream prefers."""
        voices = self.voices()
        for suffix in _VOICE_SUFFIXES:
            path = self.directory / "voice_embedding" / f"{name}{suffix}"
            if name in voices and path.is_file():
                return self._bounded(path)
        if not voices:
            raise InputError(
                f"there is no voice {brief(name)}: {self.directory}/voice_embedding/ holds none; "
                "give the path of a .pt or .bin file"
            )
        raise InputError(f"voice must be one of {', '.join(voices)} (got {brief(name)})")


def open_checkpoint(
    spec: str | Path, progress: Callable[[str], None] = lambda text: None
) -> Checkpoint:
    """Open a preset, writing it on first use, or a checkpoint directory.

    Parameters
    ----------
    spec
        A preset's name, or a directory with `params.json`, `consolidated.safetensors`,
        `tekken.json` and `voice_embedding/`. ``./tiny`` is the directory of that name.
    progress
        Called with one line a step.

    Raises
    ------
    InputError
        `spec` is neither.
    CheckpointError
        A file is missing, truncated or unreadable; a tensor is missing, extra, misshapen, or
        of a type other than bfloat16.
    """
    if isinstance(spec, str) and spec in PRESETS:
        if os.path.isdir(spec):
            progress(f"{spec} is the preset; for the directory of that name, write ./{spec}")
        directory, digests = _synthetic(spec, progress)
        return _check(directory, spec, preset=spec, digests=digests)
    # None of the calls that Path offers for this takes a name of any length.
    if not os.path.isdir(spec):
        raise InputError(
            f"checkpoint must be {', '.join(PRESETS)} or a directory (got {brief(str(spec), 200)}, "
            "which is neither)"
        )
    directory = Path(spec).resolve()
    name = directory.name or str(directory)
    return _check(directory, f"{name} (directory)" if name in PRESETS else name)


def _digest(file: Path) -> str:
    return str(remembered("sha256", file, file_digest))


def _synthetic(name: str, progress: Callable[[str], None]) -> tuple[Path, Mapping[str, str]]:
    """Directory of a preset, and the sha256 of its files: those that were written."""
    preset, recipe = PRESETS[name], recipe_digest(PRESETS[name])
    folder = f"{name}-{recipe}"
    sizes = f"dim {preset.decoder.dim}, vocab_size {preset.vocab_size}, seed {preset.seed}"

    def make(scratch: Path) -> None:
        made = scratch / folder
        synthesize(preset, made, progress)
        files = sorted(file for file in made.rglob("*") if file.is_file())
        digests = {file.relative_to(made).as_posix(): file_digest(file) for file in files}
        write_json(scratch / _DIGESTS, digests)

    def read(entry: Path) -> dict[str, str] | None:
        try:
            kept = read_json(entry / _DIGESTS, _DIGESTS)
            found = {file: _digest(entry / folder / file) for file in kept}
        except (HarnessError, OSError, TypeError):
            return None
        return found if found == kept and set(_FILES) <= found.keys() else None

    what = Recipe("checkpoints", name, {"recipe": f"sha256:{recipe}"}, sizes)
    directory = hold(what) / folder
    return directory, read_or_make(what, make, read, progress=progress)


def _check(
    directory: Path,
    name: str,
    preset: str | None = None,
    digests: Mapping[str, str] = MappingProxyType({}),
) -> Checkpoint:
    missing = [file for file in _FILES if not (directory / file).exists()]
    if missing:
        raise CheckpointError(
            f"checkpoint {directory} has no {', '.join(missing)}; a checkpoint directory holds "
            f"{', '.join(_FILES)} and voice_embedding/"
        )
    file = directory / "params.json"
    params = _read_object(file, limit=1 << 20)
    config = read_config(params, file)
    weights = directory / WEIGHTS
    _check_tensors(weights, tensor_shapes(params), read_header(weights))
    tokenizer = directory / "tekken.json"
    check_tokenizer(_read_object(tokenizer, limit=1 << 26), tokenizer)
    return Checkpoint(name, directory, params, config, preset, digests)


def _read_object(path: Path, limit: int) -> dict[str, Any]:
    contents = read_json(path, "checkpoint file", CheckpointError, limit=limit)
    if not isinstance(contents, dict):
        raise CheckpointError(f"{path} must be a JSON object (got {brief(contents)})")
    return contents


def _check_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], entries: Mapping[str, TensorEntry]
) -> None:
    """Refuse a file whose tensors are not those that `params.json` calls for."""
    found: dict[str, list[str]] = {
        "missing": sorted(set(shapes) - set(entries)),
        "extra": sorted(set(entries) - set(shapes)),
        "misshapen": [],
        "of another type": [],
    }
    for name in sorted(set(shapes) & set(entries)):
        entry, shape = entries[name], shapes[name]
        if entry.shape != shape:
            found["misshapen"].append(f"{name} (expected {shape}, got {entry.shape})")
        if entry.dtype != "BF16":
            found["of another type"].append(f"{name} (expected BF16, got {entry.dtype})")
    faults = [
        f"{len(names)} {kind}: {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}"
        for kind, names in found.items()
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{path} does not hold the {len(shapes)} tensors that params.json calls for: "
            f"{'; '.join(faults)}"
        )
