"""What is timed: one decoder layer and the codec at full width, exported for the purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cache import Recipe, fetch, maker
from harness.cache.facts import Facts
from harness.checkpoint import PRESETS, Checkpoint, open_checkpoint, synthesize
from harness.checkpoint.generate import recipe_digest
from harness.export.artifacts import LOWERED, LOWERED_BY, STACK
from harness.methods import Dimensions
from harness.upstream import parts, quiet

__all__ = ["CODEC_FRAMES", "DECODERS", "ONE_LAYER", "POSITIONS", "Subjects"]

_FULL = PRESETS["full"]

ONE_LAYER = dataclasses.replace(
    _FULL,
    name="one-layer",
    decoder=dataclasses.replace(_FULL.decoder, n_layers=1),
    flow=dataclasses.replace(_FULL.flow, n_layers=1),
    vocab_size=2048,
)
"""`full` with one layer in the language model and the flow head, and few words: 0.8 GB."""

CODEC_FRAMES = 256
POSITIONS = 128
"""Length of the KV cache: room for the 64 tokens of a prefill and a step."""

_PACKAGES = parts(*LOWERED, *LOWERED_BY["mlx"], quantized=True)

DECODERS = ("fp32", "bf16", "4-bit")


class Subjects:
    """The eager model and the exported files, made on first use and kept in the cache."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress

    def model(self, dtype: str = "float32") -> Any:
        """Upstream's eager model of `ONE_LAYER`."""
        with quiet():
            from harness.checkpoint.loading import load_model

            return load_model(self._checkpoint(), max_seq_len=POSITIONS, dtype=dtype)

    def decoder(self, precision: str) -> Path:
        """A `.pte` with the method `text_decoder`, in one of `DECODERS`."""

        def model() -> Any:
            made = self.model("float32" if precision == "fp32" else "bfloat16")
            if precision == "4-bit":
                _quantize(made.decoder)
            return made

        return self._made(f"decoder-{precision}.pte", "text_decoder", model)

    def codec(self) -> Path:
        """A `.pte` whose method `codec` decodes `CODEC_FRAMES` frames in fp32."""
        return self._made("codec.pte", "codec", self.model)

    def _made(self, file: str, method: str, model: Callable[[], Any]) -> Path:
        from harness.export.lower import lower_to_mlx
        from harness.export.programs import PROGRAMS

        def export(scratch: Path) -> None:
            sizes = Dimensions.of(
                self._checkpoint().config, max_seq_len=POSITIONS, max_codec_frames=CODEC_FRAMES
            )
            with quiet():
                program = PROGRAMS[method](model(), sizes)
            lower_to_mlx({method: program}, {}, scratch / file)

        return self._fetch(file, _facts(), export) / file

    def _checkpoint(self) -> Checkpoint:
        name, facts = "checkpoint", {"recipe": recipe_digest(ONE_LAYER)}
        made = self._fetch(name, facts, lambda scratch: synthesize(ONE_LAYER, scratch / name))
        return open_checkpoint(made / name)

    def _fetch(self, name: str, facts: Facts, make: Callable[[Path], None]) -> Path:
        return fetch(Recipe("bench", name, facts), make, progress=self._progress).path


def _facts() -> Facts:
    """All that an exported file depends on."""
    made = maker("harness.bench.subjects", stack=STACK, packages=_PACKAGES)
    return {"recipe": recipe_digest(ONE_LAYER), **made}


def _quantize(module: Any) -> None:
    """4-bit linears, group 32, in the shipped form.

    The scales are the plain ones of minimum and maximum: the shipped search for better ones
    takes half a minute a layer and changes no speed.
    """
    import torch
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerGroup

    quantize_(module, IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)))
