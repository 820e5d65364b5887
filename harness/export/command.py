"""``voxtral-parity export``: upstream's exporter's flags and meanings, with MLX as a backend."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.checkpoint import Checkpoint
from harness.errors import ExecutionError, InputError, one_of
from harness.export.artifacts import (
    Artifact,
    ExportInputs,
    ExportOptions,
    export_artifact,
)
from harness.export.quantization import DYNAMIC, KernelQuantization
from harness.files import check_directory, check_targets, replace_file
from harness.methods import CODEC, MODEL, Dimensions
from harness.methods.precision import SCOPES, Precision, parse_precision
from harness.pte.names import names_file
from harness.upstream import quiet

__all__ = ["TARGETS", "ExportFlags", "parse_flags", "write_artifacts"]

TARGETS = {"all": (MODEL, CODEC), "model": (MODEL,), "codec": (CODEC,)}

_DTYPES = ("fp32", "bf16")


@dataclass(frozen=True)
class ExportFlags:
    """What `export` was asked for besides checkpoint and sizes.

    Attributes
    ----------
    options
        How both files are exported, as far as each can be.
    target
        One of `TARGETS`.
    ignored
        Flags that upstream's exporter accepts without effect, because what they shape is not
        quantised. MLX exports refuse them instead.
    """

    options: ExportOptions
    target: str
    ignored: tuple[str, ...]


def parse_flags(
    *,
    backend: str = "mlx",
    dtype: str | None = None,
    precision: str | None = None,
    target: str = "all",
    streaming: bool = False,
    **quantization: Any,
) -> ExportFlags:
    """`ExportFlags` of what the command line says, in upstream's words.

    Parameters
    ----------
    backend, streaming
        As in `ExportOptions`.
    target
        One of `TARGETS`.
    dtype
        ``"fp32"``, upstream's default, or ``"bf16"``.
    precision
        Name of a precision; shorthand for `dtype` and its quantisation.
    **quantization
        Upstream's flags with underscores: ``qlinear="8da4w"``, ``qembedding_group_size=128``.

    Raises
    ------
    InputError
        A flag is none of its values, contradicts another, or the backend cannot do it.
    """
    one_of("export-target", target, TARGETS)
    given = {name: value for name, value in quantization.items() if value is not None}
    if dtype is not None:
        one_of("dtype", dtype, _DTYPES)
    one_of("decoder-qlinear-scope", given.get("decoder_qlinear_scope", "all"), SCOPES)
    qlinear, codec = given.pop("qlinear", None), given.pop("qlinear_codec", None)
    dynamic = qlinear is not None and qlinear.startswith(DYNAMIC)
    width = None if qlinear is None else qlinear.removeprefix(DYNAMIC)
    qembedding = given.pop("qembedding", None)
    named = next((name for name in (precision, dtype) if name is not None), "fp32")
    base = parse_precision(named, qlinear=width, qembedding=qembedding)
    ignored: list[str] = []
    if backend != "mlx":
        uses = {
            "qlinear_group_size": base.qlinear,
            "qlinear_packing_format": base.qlinear,
            "decoder_qlinear_scope": base.qlinear,
            "qembedding_group_size": base.qembedding,
            "qlinear_codec_group_size": codec,
        }
        ignored = [name for name, use in uses.items() if name in given and not use]
        given = {name: value for name, value in given.items() if name not in ignored}
    packing_format = given.pop("qlinear_packing_format", None)
    codec_group_size = given.pop("qlinear_codec_group_size", None)
    chosen = parse_precision(base, **given)
    if dtype is not None and chosen.base != dtype:
        raise InputError(f"--dtype {dtype} contradicts --precision {precision}; leave one out")
    if packing_format is not None and not chosen.qlinear:
        raise InputError("qlinear-packing-format needs qlinear: nothing is quantised")
    kernels = KernelQuantization(dynamic, packing_format, codec, codec_group_size)
    if backend == "mlx":
        _check_for_mlx(kernels, width)
    options = ExportOptions(
        chosen, backend=backend, streaming=streaming, kernels=None if backend == "mlx" else kernels
    )
    flags = tuple(f"--{name.replace('_', '-')}" for name in ignored)
    return ExportFlags(options, target, flags)


def _check_for_mlx(kernels: KernelQuantization, width: str | None) -> None:
    if kernels.dynamic:
        raise InputError(
            f"--qlinear {DYNAMIC}{width} quantises activations as well, for which MLX has no "
            "kernels; with --backend mlx it must be 4w or 8w"
        )
    if kernels.packing_format is not None:
        raise InputError(
            "--backend mlx refuses --qlinear-packing-format: MLX packs weights in its own way; "
            "leave the flag out"
        )
    if kernels.codec:
        raise InputError(
            "--backend mlx refuses --qlinear-codec: no precision that is judged here quantises the "
            "codec, so no verdict could vouch for it; leave the flag out, or use --backend xnnpack "
            "or portable"
        )


def write_artifacts(
    checkpoint: Checkpoint,
    sizes: Dimensions,
    flags: ExportFlags,
    directory: Path,
    *,
    voice: Path | None,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Artifact]:
    """Export, or find in the cache, and put the files into `directory` under upstream's names.

    A file appears there whole or not at all, and none unless all can.

    Parameters
    ----------
    checkpoint, sizes, flags
        Which weights, for which dimensions, how.
    directory
        Made if need be.
    voice
        Embedding of the default voice.
    fresh, progress
        Whether to export even if cached; called with one line a step.

    Raises
    ------
    InputError
        `directory` cannot be written; said before the work.
    ExecutionError
        A method cannot be lowered.
    """
    if flags.ignored:
        progress(
            f"warning: {', '.join(flags.ignored)} has no effect: what it shapes is not quantised"
        )
    names = TARGETS[flags.target]
    check_directory(directory)
    check_targets(*(directory / name for name in names))
    made = []
    for name in names:
        options = _relevant(flags.options, name, progress)
        inputs = ExportInputs(name, sizes, options, checkpoint.digest, voice)
        model = partial(_model, checkpoint, inputs, fresh, progress)
        made.append(export_artifact(inputs, model, fresh=fresh, progress=progress))
    for artifact in made:
        for method, reason in artifact.failures.items():
            raise ExecutionError(f"{method} cannot be lowered to {flags.options.backend}: {reason}")
    for artifact in made:
        for source in (artifact.path, names_file(artifact.path)):
            if source.exists():
                with replace_file(directory / source.name) as scratch:
                    shutil.copyfile(source, scratch)
            else:  # of an earlier export, for another backend
                (directory / source.name).unlink(missing_ok=True)
    return made


def _relevant(options: ExportOptions, name: str, progress: Callable[[str], None]) -> ExportOptions:
    """Those of one artifact, without what the backend leaves out."""
    precision, kernels = options.precision, options.kernels
    if name == CODEC:
        if kernels is not None:
            group = kernels.codec_group_size
            kernels = KernelQuantization(codec=kernels.codec, codec_group_size=group)
        return ExportOptions(
            Precision(precision.base),
            backend=options.backend,
            kernels=kernels if kernels and kernels.codec else None,
        )
    if options.backend == "xnnpack" and precision.qembedding:
        with quiet():
            from executorch.examples.models.voxtral_tts import export_voxtral_tts as upstream

        plan = upstream.resolve_effective_quantization(
            backend="xnnpack", qlinear=precision.qlinear, qembedding=precision.qembedding
        )
        progress(f"warning: {plan['warning']}")
        precision = replace(precision, qembedding=plan["qembedding"], qembedding_group_size=None)
    if kernels is not None:
        kernels = replace(kernels, codec=None, codec_group_size=None)
    return replace(options, precision=precision, kernels=kernels if precision.quantized else None)


def _model(
    checkpoint: Checkpoint, inputs: ExportInputs, fresh: bool, progress: Callable[[str], None]
) -> object:
    """The model to export, quantised as asked; mapped where only its codec is."""
    progress("loading the eager model")
    precision, kernels = inputs.options.precision, inputs.options.kernels
    with quiet():
        from harness.checkpoint.loading import load_model

        model = load_model(
            checkpoint,
            max_seq_len=inputs.sizes.max_seq_len,
            dtype=precision.float_type,
            mapped=inputs.name == CODEC,
        )
    if kernels is not None:
        from harness.export.kernels import quantized_by_upstream

        progress("quantising")
        return quantized_by_upstream(model, precision, kernels)
    if precision.quantized:
        from harness.reference.quantize import quantize_in_place

        quantize_in_place(model, precision, checkpoint.digest, progress, fresh=fresh)
    return model
