"""``voxtral-parity export``: upstream's exporter's flags and meanings, with MLX as a backend."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.checkpoint import Checkpoint
from harness.errors import ExecutionError, InputError
from harness.export.artifacts import BACKENDS, Artifact, ExportOptions, export_artifact
from harness.export.quantization import DYNAMIC, KernelQuantization
from harness.files import check_directory, check_targets, replace_file
from harness.methods import CODEC, MODEL, Dimensions
from harness.methods.precision import FP32, SCOPES, Precision, parse_precision
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
    backend
        ``"mlx"``, ``"xnnpack"`` or ``"portable"``.
    precision
        Floating-point type and quantisation.
    target
        One of `TARGETS`.
    streaming
        Whether the runner should decode in chunks.
    kernels
        The quantisation that only the other backends can have.
    ignored
        Flags that upstream's exporter takes and makes nothing of, because what they would
        shape is not quantised. MLX exports refuse them instead.

    Raises
    ------
    InputError
        A flag is none of its values, or the backend cannot do it.
    """

    backend: str = "mlx"
    precision: Precision = FP32
    target: str = "all"
    streaming: bool = False
    kernels: KernelQuantization = field(default_factory=KernelQuantization)
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("backend", self.backend, BACKENDS)
        _one_of("export-target", self.target, tuple(TARGETS))
        if self.backend != "mlx":
            return
        self.precision.check_for_mlx()
        if self.kernels.dynamic:
            raise InputError(
                f"--qlinear {DYNAMIC}{self.precision.qlinear} quantises activations as well, for "
                "which MLX has no kernels; with --backend mlx it must be 4w or 8w"
            )
        if self.kernels.packing_format:
            raise InputError(
                "--backend mlx refuses --qlinear-packing-format: MLX packs weights in its own way; "
                "leave the flag out"
            )
        if self.kernels.codec:
            raise InputError(
                "--backend mlx refuses --qlinear-codec: no precision that is judged here quantises "
                "the codec, so no verdict could vouch for it; leave the flag out, or use "
                "--backend xnnpack or portable"
            )


def parse_flags(
    *,
    backend: str = "mlx",
    dtype: str | None = None,
    precision: str | None = None,
    target: str = "all",
    streaming: bool = False,
    qlinear: str | None = None,
    qlinear_packing_format: str | None = None,
    qlinear_codec: str | None = None,
    qlinear_codec_group_size: int | None = None,
    **options: Any,
) -> ExportFlags:
    """`ExportFlags` of what the command line says.

    Parameters
    ----------
    backend, target, streaming
        As in `ExportFlags`.
    dtype
        ``"fp32"``, upstream's default, or ``"bf16"``.
    precision
        Name of a precision; shorthand for `dtype` and its quantisation.
    qlinear
        ``"4w"``, ``"8w"``, ``"8da4w"`` or ``"8da8w"``.
    qlinear_packing_format, qlinear_codec, qlinear_codec_group_size
        Upstream's flags that `Precision` does not know.
    **options
        The other quantisation flags, as `parse_precision` takes them.

    Raises
    ------
    InputError
        A flag is none of its values, contradicts another, or the backend cannot do it.
    """
    if dtype is not None:
        _one_of("dtype", dtype, _DTYPES)
    _one_of("decoder-qlinear-scope", options.get("decoder_qlinear_scope") or "all", SCOPES)
    dynamic = qlinear is not None and qlinear.startswith(DYNAMIC)
    width = qlinear.removeprefix(DYNAMIC) if qlinear else None
    shapes = {
        **options,
        "qlinear_packing_format": qlinear_packing_format,
        "qlinear_codec_group_size": qlinear_codec_group_size,
    }
    qembedding = shapes.pop("qembedding", None)
    base = parse_precision(precision or dtype or "fp32", qlinear=width, qembedding=qembedding)
    ignored: tuple[str, ...] = ()
    if backend != "mlx":
        ignored = _without_use(shapes, base, qlinear_codec)
        shapes = {name: value for name, value in shapes.items() if name not in ignored}
    qlinear_packing_format = shapes.pop("qlinear_packing_format", None)
    qlinear_codec_group_size = shapes.pop("qlinear_codec_group_size", None)
    chosen = parse_precision(base, **shapes)
    if dtype is not None and chosen.base != dtype:
        raise InputError(f"--dtype {dtype} contradicts --precision {precision}; leave one out")
    if qlinear_packing_format and not chosen.qlinear:
        raise InputError("qlinear-packing-format needs qlinear: nothing is quantised")
    return ExportFlags(
        backend,
        chosen,
        target,
        streaming,
        KernelQuantization(
            dynamic, qlinear_packing_format, qlinear_codec, qlinear_codec_group_size
        ),
        tuple(f"--{name.replace('_', '-')}" for name in ignored),
    )


def _without_use(
    shapes: Mapping[str, Any], precision: Precision, qlinear_codec: str | None
) -> tuple[str, ...]:
    """Which of the given options would shape what is not quantised."""
    uses = {
        "qlinear_group_size": precision.qlinear,
        "qlinear_packing_format": precision.qlinear,
        "decoder_qlinear_scope": precision.qlinear,
        "qembedding_group_size": precision.qembedding,
        "qlinear_codec_group_size": qlinear_codec,
    }
    return tuple(name for name, use in uses.items() if shapes.get(name) is not None and not use)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{what} must be one of {', '.join(known)} (got {value!r})")


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

    Parameters
    ----------
    checkpoint
        Which weights.
    sizes
        Dimensions of the export.
    flags
        How.
    directory
        Made if need be; a file appears in it whole or not at all, and none unless all can.
    voice
        Embedding of the default voice.
    fresh
        Export even if cached.
    progress
        Called with one line a step.

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
        precision, kernels = _relevant(flags, name, progress)
        options = ExportOptions(
            precision,
            backend=flags.backend,
            streaming=flags.streaming and name == MODEL,
            kernels=kernels,
        )
        made.append(
            export_artifact(
                name,
                partial(
                    _model, checkpoint, sizes, options, progress, mapped=name == CODEC, fresh=fresh
                ),
                sizes,
                options,
                weights=checkpoint.digest,
                voice=voice,
                fresh=fresh,
                progress=progress,
            )
        )
    for artifact in made:
        for method, reason in artifact.failures.items():
            raise ExecutionError(f"{method} cannot be lowered to {flags.backend}: {reason}")
    for artifact in made:
        with replace_file(directory / artifact.name) as scratch:
            shutil.copyfile(artifact.path, scratch)
        beside = names_file(directory / artifact.name)
        if names_file(artifact.path).exists():
            with replace_file(beside) as scratch:
                shutil.copyfile(names_file(artifact.path), scratch)
        else:
            beside.unlink(missing_ok=True)  # of an earlier export, for another backend
    return made


def _relevant(
    flags: ExportFlags, name: str, progress: Callable[[str], None]
) -> tuple[Precision, KernelQuantization | None]:
    """The quantisation of one artifact, without what the backend leaves out."""
    if name == CODEC:
        codec = flags.kernels.of_codec
        return Precision(flags.precision.base), codec if codec.codec else None
    precision = flags.precision
    if flags.backend == "xnnpack" and precision.qembedding:
        with quiet():
            from executorch.examples.models.voxtral_tts import export_voxtral_tts as upstream

        plan = upstream.resolve_effective_quantization(
            backend=flags.backend, qlinear=precision.qlinear, qembedding=precision.qembedding
        )
        progress(f"warning: {plan['warning']}")
        precision = replace(precision, qembedding=plan["qembedding"], qembedding_group_size=None)
    by_upstream = flags.backend != "mlx" and precision.quantized
    return precision, flags.kernels.of_model if by_upstream else None


def _model(
    checkpoint: Checkpoint,
    sizes: Dimensions,
    options: ExportOptions,
    progress: Callable[[str], None],
    *,
    mapped: bool,
    fresh: bool,
) -> object:
    """The model to export, quantised as asked; `mapped` where only its codec is."""
    progress("loading the eager model")
    precision = options.precision
    with quiet():
        from harness.checkpoint.loading import load_model

        model = load_model(
            checkpoint,
            max_seq_len=sizes.max_seq_len,
            dtype=precision.float_type,
            mapped=mapped,
        )
    if options.kernels is not None:
        from harness.export.kernels import quantized_by_upstream

        progress("quantising")
        return quantized_by_upstream(model, precision, options.kernels)
    if precision.quantized:
        from harness.reference.quantize import quantize_in_place

        quantize_in_place(model, precision, checkpoint.digest, progress, fresh=fresh)
    return model
