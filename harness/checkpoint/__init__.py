"""Checkpoints: find, check and load one; synthesise small ones that load through the same door.

`open_checkpoint` takes a preset's name or a directory, and checks every file before a weight
is read. `harness.checkpoint.loading` turns the result into upstream's eager model, and
`harness.checkpoint.voices` reads a voice; they are not imported here, because one needs torch.
"""

from harness.checkpoint.config import Config, read_config
from harness.checkpoint.generate import synthesize
from harness.checkpoint.opening import DEFAULT_VOICE, Checkpoint, open_checkpoint
from harness.checkpoint.presets import PRESETS, Preset
from harness.checkpoint.shapes import tensor_shapes

__all__ = [
    "DEFAULT_VOICE",
    "PRESETS",
    "Checkpoint",
    "Config",
    "Preset",
    "open_checkpoint",
    "read_config",
    "synthesize",
    "tensor_shapes",
]
