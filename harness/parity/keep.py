"""Keep an eager run in the cache, so that judging an export again needs no torch at all.

One file a run: numpy arrays without pickles, and an index in JSON that says which is which.
The key holds everything the run depends on: weights, sizes, script, versions and sources.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from harness.arrays import Array
from harness.cache import borrowed, maker
from harness.export.kept_layers import QUANTIZERS
from harness.files import replace_file
from harness.methods import Dimensions
from harness.methods.cases import Case
from harness.parity.evidence import EagerRun, Evidence, Script
from harness.synthesis import Speech

__all__ = ["kept_run", "load_run", "save_run"]

_FILE = "run.npz"


def kept_run(
    weights: str,
    voice: str,
    sizes: Dimensions,
    script: Script,
    precision: Mapping[str, Any],
    make: Callable[[], EagerRun],
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> EagerRun:
    """The eager run of these weights: from the cache, or made and kept.

    Parameters
    ----------
    weights
        Digest of the checkpoint.
    voice
        Digest of the voice's embedding.
    sizes, script, precision
        What else the run depends on; the precision by its parts.
    make
        Runs the eager model.
    fresh
        Run it even if the cache has it.
    progress
        Called with what is being done.
    """
    facts = _facts(weights, voice, sizes, script, precision)

    def kept(fresh: bool) -> EagerRun | None:
        made: list[EagerRun] = []

        def save(scratch: Path) -> None:
            made.append(make())
            save_run(scratch / _FILE, made[0])

        with borrowed(
            "eager",
            "eager run",
            facts,
            save,
            brief=f"{', '.join(str(p) for p in precision.values() if p is not None)}, "
            f"{script.text!r}, weights {weights[:12]}",
            fresh=fresh,
            progress=progress,
        ) as entry:
            return made[0] if made else _readable(entry.path / _FILE)

    # Damaged on disk, it is only a copy of what `make` makes again.
    run = kept(fresh) or kept(fresh=True)
    assert run is not None
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


def _readable(path: Path) -> EagerRun | None:
    try:
        return load_run(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _evidence(method: str, item: Mapping[str, Any], get: Callable[[list[str]], Array]) -> Evidence:
    calls = tuple(tuple(get(value) for value in call) for call in item["calls"])
    outputs = tuple(get(value) for value in item["outputs"])
    return Evidence(Case(method, item["label"], calls), outputs)


_MAKERS = ("harness.parity.evidence", "harness.reference.eager", "harness.checkpoint.loading")

_STACK = (
    "torch", "executorch", "torchao", "numpy", "ml_dtypes", "safetensors", "mistral-common",
    "tiktoken",
)  # fmt: skip


def _facts(
    weights: str, voice: str, sizes: Dimensions, script: Script, precision: Mapping[str, Any]
) -> dict[str, Any]:
    quantized = any(precision.get(name) for name in ("qlinear", "qembedding"))
    executorch = ("examples/models/voxtral_tts", "extension/llm/custom_ops")
    packages: dict[str, tuple[str, ...]] = {"executorch": executorch}
    if quantized:
        packages = {**QUANTIZERS, "executorch": (*executorch, *QUANTIZERS["executorch"])}
    return {
        "weights": f"sha256:{weights}",
        "voice": f"sha256:{voice}",
        "sizes": asdict(sizes),
        "script": asdict(script),
        "precision": dict(precision),
        **maker(
            *_MAKERS,
            *(("harness.export.quantize",) if quantized else ()),
            stack=_STACK,
            packages=packages,
        ),
    }
