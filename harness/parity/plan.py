"""The first value of the line: what is judged, resolved to facts. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.checkpoint import Checkpoint, Config
from harness.checkpoint.config import read_config
from harness.errors import InputError
from harness.export.artifacts import ExportOptions, given_path
from harness.methods import ARTIFACTS, CODEC, METHODS, MODEL, Dimensions, Method, select_methods
from harness.methods.precision import Precision, parse_precision
from harness.parity.request import RUNNER, Request
from harness.pte.metadata import read_metadata
from harness.reference.semantics import EXECUTORCH, Semantics, find_semantics
from harness.report import CheckpointFacts
from harness.synthesis import Limits, Utterance

__all__ = ["UPSTREAM_CAPACITIES", "Plan", "capacities", "resolve"]

_CAPACITIES = {"tiny": (128, 40), "small": (256, 64), "full": (512, 256)}
"""max_seq_len and max_codec_frames of the presets: room for the sentence, and little more."""

UPSTREAM_CAPACITIES = (4096, 256)
"""Those of upstream's exporter."""


def capacities(preset: str | None) -> tuple[int, int]:
    """The usual max_seq_len and max_codec_frames of a preset; of other checkpoints, upstream's."""
    return _CAPACITIES.get(preset or "", UPSTREAM_CAPACITIES)


_MOST_FRAMES = {"full": 3}
"""Frames after which eager stops speaking; elsewhere it says the sentence to its end. A frame of
the 4B model takes a CPU some ten seconds, on either side."""


@dataclass(frozen=True)
class Plan:
    """What is judged.

    Attributes
    ----------
    checkpoint
        Which weights.
    params
        Contents of `params.json`.
    voices
        Names of the checkpoint's voices.
    sizes
        Dimensions of the artifacts.
    precision
        Floating-point type and quantisation.
    methods
        Names of those asked for, in their fixed order.
    utterance
        What the executor says, and eager as `spoken`; its voice is the one that eager takes.
    lowering
        ``"mlx"`` or ``"xnnpack"``.
    codec_form, without
        How the artifacts are exported.
    given
        Whether somebody else exported them.
    speaks, only_speaks
        Whether the executor speaks by itself, and whether it can do nothing else: upstream's
        runner calls no method alone.
    local_all
        Whether every step of every call is judged by itself, not of some calls alone.
    preset
        Which synthetic checkpoint it is; None for any other.
    usual
        Whether utterance and capacities are the checkpoint's usual ones, of which goldens are kept.
    notes
        What to tell of the checkpoint.
    semantics
        What eager does where implementations differ.
    """

    checkpoint: CheckpointFacts
    params: Mapping[str, Any]
    voices: tuple[str, ...]
    sizes: Dimensions
    precision: Precision
    methods: tuple[str, ...]
    utterance: Utterance
    lowering: str = "mlx"
    codec_form: str = "conv"
    without: tuple[str, ...] = ()
    given: bool = False
    speaks: bool = True
    only_speaks: bool = False
    local_all: bool = False
    preset: str | None = None
    usual: bool = True
    notes: tuple[str, ...] = ()
    semantics: Semantics = EXECUTORCH

    @property
    def spoken(self) -> Utterance:
        """The utterance as eager says it."""
        return self.semantics.spoken(self.utterance)

    @cached_property
    def config(self) -> Config:
        """The numbers in `params`, checked."""
        return read_config(self.params)

    @property
    def limits(self) -> Limits:
        """What the artifacts take."""
        sizes = self.sizes
        return Limits(sizes.max_seq_len, sizes.max_codec_frames, self.precision.float_type)

    @property
    def selected(self) -> tuple[Method, ...]:
        """The methods asked for."""
        return select_methods(self.methods)

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of the files that the methods, or speech, need."""
        needed = {method.artifact for method in self.selected}
        return ARTIFACTS if self.speaks else tuple(name for name in ARTIFACTS if name in needed)

    def export_options(self, artifact: str) -> ExportOptions:
        """How the file `artifact` is exported."""
        # The codec is never quantised: precisions of one type share one file of it.
        precision = self.precision if artifact == MODEL else Precision(self.precision.base)
        return ExportOptions(precision, self.codec_form, self.without, self.lowering)

    def on_xnnpack(self) -> Plan:
        """The same, lowered to XNNPACK instead."""
        return dataclasses.replace(self, lowering="xnnpack", without=(), given=False, speaks=False)


def resolve(request: Request, checkpoint: Checkpoint) -> Plan:
    """What `request` asks of an opened checkpoint.

    Raises
    ------
    InputError
        The request makes no sense for the checkpoint, or the given files do not say their sizes.
    """
    methods = select_methods(request.methods)
    sizes = _sizes(request, checkpoint, {method.artifact for method in methods})
    frames = _MOST_FRAMES.get(checkpoint.preset or "", sizes.max_codec_frames)
    voice = request.utterance.voice
    utterance = dataclasses.replace(
        request.utterance,
        voice=checkpoint.usual_voice() if voice is None else voice,
        max_new_tokens=min(request.utterance.max_new_tokens, frames),
    )
    note = checkpoint.voice_note(utterance.voice)
    plan = Plan(
        checkpoint=CheckpointFacts(checkpoint.name, checkpoint.digest, checkpoint.directory.name),
        params=checkpoint.params,
        voices=checkpoint.voices(),
        sizes=sizes,
        precision=parse_precision(request.precision),
        methods=tuple(method.name for method in methods),
        utterance=utterance,
        lowering="xnnpack" if "xnnpack" in (request.executor, request.require) else "mlx",
        codec_form=request.codec_form,
        without=request.without,
        given=request.artifacts is not None,
        speaks=request.speak and (len(methods) == len(METHODS) or request.executor == RUNNER),
        only_speaks=request.executor == RUNNER,
        local_all=request.local_all,
        preset=checkpoint.preset,
        usual=request.utterance == Utterance()
        and request.max_seq_len is None
        and request.max_codec_frames is None
        and request.semantics == EXECUTORCH.name,
        notes=() if note is None else (note,),
        semantics=find_semantics(request.semantics),
    )
    # Options that do not exist are refused here, before eager says the sentence.
    plan.export_options(MODEL)
    return plan


def _sizes(request: Request, checkpoint: Checkpoint, needed: set[str]) -> Dimensions:
    """Capacities as asked for, as given files say, or as usual."""
    seq_len, frames = capacities(checkpoint.preset)
    if request.artifacts is not None:
        if request.max_seq_len is None and MODEL in needed:
            seq_len = _declared_size(request.artifacts, MODEL, "max_seq_len")
        if request.max_codec_frames is None and CODEC in needed:
            frames = _declared_size(request.artifacts, CODEC, "max_codec_frames")
    return Dimensions.of(
        checkpoint.config,
        max_seq_len=request.max_seq_len or seq_len,
        max_codec_frames=request.max_codec_frames or frames,
    )


def _declared_size(directory: Path, artifact: str, name: str) -> int:
    """A size that a given file says of itself, in a metadata method."""
    size = read_metadata(given_path(directory, artifact)).get(name)
    if type(size) is not int or size < 1:
        raise InputError(
            f"{artifact} has no metadata method {name} that gives a size (got {str(size)[:40]}); "
            "export it with `voxtral-parity export` or upstream's script"
        )
    return size
