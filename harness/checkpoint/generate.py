"""Write a synthetic checkpoint: the same files, byte for byte, on every platform."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from functools import partial
from pathlib import Path

import numpy as np

from harness.cache import replace_directory
from harness.checkpoint.draws import normal, to_bfloat16_bits
from harness.checkpoint.presets import Preset
from harness.checkpoint.safetensors_file import write_bfloat16
from harness.checkpoint.shapes import tensor_shapes
from harness.checkpoint.tokenizer import cut_tokenizer
from harness.checkpoint.voice_file import write_voice
from harness.checkpoint.weights import tensor_bits

__all__ = ["recipe_digest", "synthesize"]

_GENERATOR = (
    "config.py", "draws.py", "generate.py", "presets.py", "safetensors_file.py", "shapes.py",
    "tokenizer.py", "voice_file.py", "weights.py",
)  # fmt: skip


def synthesize(preset: Preset, directory: Path) -> None:
    """Write the checkpoint `preset` to `directory`, which must not exist.

    It gets `params.json`, `consolidated.safetensors` (bfloat16), `tekken.json` and a
    `voice_embedding/<voice>.pt` for each voice; all of them, or nothing.
    """
    params = preset.params()
    with replace_directory(directory) as scratch:
        (scratch / "params.json").write_bytes(json.dumps(params, indent=2).encode() + b"\n")
        write_bfloat16(
            scratch / "consolidated.safetensors",
            tensor_shapes(params),
            partial(tensor_bits, preset),
        )
        tokenizer = cut_tokenizer(preset.vocab_size, preset.voices)
        (scratch / "tekken.json").write_bytes(tokenizer)
        (scratch / "voice_embedding").mkdir()
        for voice, rows in preset.voices.items():
            shape = (rows, preset.decoder.dim)
            values = np.concatenate(list(normal(preset.seed, f"voice {voice}", shape, 1.0)))
            write_voice(scratch / "voice_embedding" / f"{voice}.pt", to_bfloat16_bits(values))


def recipe_digest(preset: Preset) -> str:
    """Sixteen hex digits that change whenever `synthesize` could write other bytes."""
    digest = hashlib.sha256(importlib.metadata.version("mistral-common").encode())
    for name in _GENERATOR:
        # Line endings aside: a checkout on Windows writes the same checkpoint.
        source = (Path(__file__).parent / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + source)
    digest.update(repr(preset).encode())
    return digest.hexdigest()[:16]
