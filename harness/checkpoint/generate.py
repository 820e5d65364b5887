"""Write a synthetic checkpoint: the same files, byte for byte, on every platform."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint.draws import normal, to_bfloat16_bits
from harness.checkpoint.presets import Preset
from harness.checkpoint.safetensors_file import write_bfloat16
from harness.checkpoint.shapes import tensor_shapes
from harness.checkpoint.tokenizer import cut_tokenizer
from harness.checkpoint.voice_file import write_voice
from harness.checkpoint.weights import tensor_bits
from harness.files import replace_directory

__all__ = ["recipe_digest", "synthesize"]

_LARGE = 10**8
"""Weights, a few seconds' worth."""

_GENERATOR = (
    "config.py", "draws.py", "generate.py", "phases.py", "presets.py", "safetensors_file.py",
    "shapes.py", "tokenizer.py", "voice_file.py", "weights.py",
)  # fmt: skip


def synthesize(
    preset: Preset, directory: Path, progress: Callable[[str], None] = lambda text: None
) -> None:
    """Write the checkpoint `preset` to `directory`, which must not exist.

    `progress` is called now and then while a large one is written. The directory gets
    `params.json`, `consolidated.safetensors` (bfloat16), `tekken.json` and a
    `voice_embedding/<voice>.pt` for each voice; all of them, or nothing.
    """
    params = preset.params()
    shapes = tensor_shapes(params)
    bits = _counted(preset, sum(map(math.prod, shapes.values())), progress)
    with replace_directory(directory) as scratch:
        (scratch / "params.json").write_bytes(json.dumps(params, indent=2).encode() + b"\n")
        write_bfloat16(scratch / "consolidated.safetensors", shapes, bits)
        tokenizer = cut_tokenizer(preset.vocab_size, preset.voices)
        (scratch / "tekken.json").write_bytes(tokenizer)
        (scratch / "voice_embedding").mkdir()
        for voice, rows in preset.voices.items():
            shape = (rows, preset.decoder.dim)
            values = np.concatenate(list(normal(preset.seed, f"voice {voice}", shape, 1.0)))
            write_voice(scratch / "voice_embedding" / f"{voice}.pt", to_bfloat16_bits(values))


def _counted(
    preset: Preset, total: int, progress: Callable[[str], None]
) -> Callable[[str, tuple[int, ...]], Iterator[NDArray[np.uint16]]]:
    """`tensor_bits` of `preset`, which says when another tenth of `total` weights is made."""
    made, lock = 0, threading.Lock()

    def bits(name: str, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint16]]:
        nonlocal made
        for run in tensor_bits(preset, name, shape):
            with lock:
                before, made = made, made + run.size
                tenth = 10 * made // total
                if total > _LARGE and tenth > 10 * before // total:
                    progress(
                        f"writing checkpoint {preset.name}: {10 * tenth} % of {total:,} weights"
                    )
            yield run

    return bits


def recipe_digest(preset: Preset) -> str:
    """Sixteen hex digits that change whenever `synthesize` could write other bytes."""
    digest = hashlib.sha256(importlib.metadata.version("mistral-common").encode())
    for name in _GENERATOR:
        # Line endings aside: a checkout on Windows writes the same checkpoint.
        source = (Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + source)
    digest.update(repr(preset).encode())
    return digest.hexdigest()[:16]
