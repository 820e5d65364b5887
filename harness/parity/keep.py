"""Keep an eager run in the cache, so that judging an export again needs no torch at all.

One file a run: numpy arrays without pickles, and an index in JSON that says which is which.
The key holds everything the run depends on: weights, sizes, script, versions and sources.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from filelock import FileLock

import harness
from harness.cache import cache_dir, replace_file
from harness.methods import Dimensions
from harness.methods.cases import Case
from harness.parity.evidence import EagerRun, Evidence, Script
from harness.runtime.protocol import Array
from harness.synthesis import Speech
from harness.upstream import package_directory

__all__ = ["kept_run", "load_run", "save_run"]


def kept_run(
    weights: str,
    sizes: Dimensions,
    script: Script,
    precision: Mapping[str, Any],
    make: Callable[[], EagerRun],
    *,
    fresh: bool = False,
) -> EagerRun:
    """The eager run of these weights: from the cache, or made and kept.

    Parameters
    ----------
    weights
        Digest of the checkpoint.
    sizes, script, precision
        What else the run depends on; the precision by its parts.
    make
        Runs the eager model.
    fresh
        Run it even if the cache has it.
    """
    path = cache_dir() / "eager" / f"{_key(weights, sizes, script, precision)}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists() and not fresh:
            try:
                return load_run(path)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                path.unlink()  # damaged on disk: it is only a copy of what `make` makes again
        run = make()
        save_run(path, run)
        return run


def save_run(path: Path, run: EagerRun) -> None:
    """Write a run to `path`, whole or not at all."""
    arrays: dict[str, Array] = {}

    def put(value: Array) -> list[str]:
        """Store an array; returns its name and its type, which npz does not know for bfloat16."""
        name = f"a{len(arrays)}"
        plain = value.view(np.uint16) if value.dtype == ml_dtypes.bfloat16 else value
        arrays[name] = plain
        return [name, value.dtype.name]

    index = {
        "speech": {
            field.name: value if isinstance(value, bool) else put(value)
            for field in fields(Speech)
            for value in [getattr(run.speech, field.name)]
        },
        "evidence": {
            method: [
                {
                    "label": item.case.label,
                    "calls": [[put(value) for value in call] for call in item.case.calls],
                    "outputs": [put(value) for value in item.outputs],
                }
                for item in items
            ]
            for method, items in run.evidence.items()
        },
    }
    with replace_file(path) as scratch, scratch.open("wb") as file:
        np.savez(file, index=np.array(json.dumps(index)), **arrays)  # type: ignore[arg-type]


def load_run(path: Path) -> EagerRun:
    """Read what `save_run` wrote."""
    with np.load(path, allow_pickle=False) as file:
        index = json.loads(str(file["index"]))

        def get(entry: list[str]) -> Array:
            name, dtype = entry
            value = file[name]
            return value.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else value

        speech: dict[str, Any] = {
            name: entry if isinstance(entry, bool) else get(entry)
            for name, entry in index["speech"].items()
        }
        evidence = {
            method: tuple(_evidence(method, item, get) for item in items)
            for method, items in index["evidence"].items()
        }
    return EagerRun(Speech(**speech), evidence)


def _evidence(method: str, item: Mapping[str, Any], get: Callable[[list[str]], Array]) -> Evidence:
    calls = tuple(tuple(get(value) for value in call) for call in item["calls"])
    outputs = tuple(get(value) for value in item["outputs"])
    return Evidence(Case(method, item["label"], calls), outputs)


def _key(weights: str, sizes: Dimensions, script: Script, precision: Mapping[str, Any]) -> str:
    facts = {
        "weights": weights,
        "sizes": asdict(sizes),
        "script": asdict(script),
        "precision": dict(precision),
        "versions": {
            package: importlib.metadata.version(package)
            for package in ("torch", "torchao", "executorch", "numpy", "mistral-common")
        },
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    ours = Path(next(iter(harness.__path__)))
    theirs = package_directory("executorch") / "examples" / "models" / "voxtral_tts"
    rooms = [ours / room for room in ("methods", "parity", "reference", "synthesis")]
    files = [file for room in (*rooms, theirs) for file in room.glob("*.py")]
    for file in sorted([*files, ours / "export" / "quantize.py"]):
        if file.name not in (
            "catalog.py",
            "tolerances.py",
        ):  # allowances judge a run, they do not make it
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:24]
