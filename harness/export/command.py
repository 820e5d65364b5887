"""``voxtral-parity export``: upstream's exporter's flags and meanings, with MLX as a backend."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cache import replace_file
from harness.checkpoint import Checkpoint
from harness.errors import ExecutionError, InputError
from harness.export.artifacts import BACKENDS, Artifact, ExportOptions, export_artifact
from harness.export.quantization import Quantization
from harness.methods import CODEC, MODEL, Dimensions
from harness.upstream import quiet

__all__ = ["DTYPES", "TARGETS", "ExportFlags", "write_artifacts"]

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
TARGETS = {"all": (MODEL, CODEC), "model": (MODEL,), "codec": (CODEC,)}

_QLINEAR = {
    "mlx": ("4w", "8w"),
    "xnnpack": ("4w", "8w", "8da4w", "8da8w"),
    "portable": ("4w", "8w", "8da4w", "8da8w"),
}
_SCOPES = ("all", "attention", "feed_forward", "none")


@dataclass(frozen=True)
class ExportFlags:
    """What `export` was asked for besides checkpoint and sizes.

    Attributes
    ----------
    backend
        ``"mlx"``, ``"xnnpack"`` or ``"portable"``.
    dtype
        ``"fp32"`` or ``"bf16"``.
    target
        One of `TARGETS`.
    streaming
        Whether the runner should decode in chunks.
    quantization
        Upstream's quantisation flags.

    Raises
    ------
    InputError
        A flag is none of its values, or the backend cannot do it.
    """

    backend: str = "mlx"
    dtype: str = "fp32"
    target: str = "all"
    streaming: bool = False
    quantization: Quantization = field(default_factory=Quantization)

    def __post_init__(self) -> None:
        asked = self.quantization
        _one_of("backend", self.backend, BACKENDS)
        _one_of("dtype", self.dtype, tuple(DTYPES))
        _one_of("export-target", self.target, tuple(TARGETS))
        _one_of("decoder-qlinear-scope", asked.decoder_qlinear_scope, _SCOPES)
        if self.backend == "mlx" and asked.qlinear in ("8da4w", "8da8w"):
            raise InputError(
                f"--qlinear {asked.qlinear} quantises activations as well, for which MLX has no "
                "kernels; with --backend mlx it must be 4w or 8w"
            )
        _one_of("qlinear", asked.qlinear, _QLINEAR[self.backend])
        _one_of("qembedding", asked.qembedding, ("4w", "8w"))
        if self.backend == "mlx" and asked.qlinear_codec:
            raise InputError(
                "--backend mlx refuses --qlinear-codec: no precision that is judged here quantises "
                "the codec, so no verdict could vouch for it; leave the flag out, or use "
                "--backend xnnpack or portable"
            )
        _one_of("qlinear-codec", asked.qlinear_codec, ("4w", "8w"))


def _one_of(what: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise InputError(f"{what} must be one of {', '.join(known)} (got {value!r})")


def write_artifacts(
    checkpoint: Checkpoint,
    sizes: Dimensions,
    flags: ExportFlags,
    directory: Path,
    *,
    voice: Path,
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
    ExecutionError
        A method cannot be lowered.
    """
    made = []
    for name in TARGETS[flags.target]:
        asked = _relevant(flags, name, progress)
        options = ExportOptions(
            precision=flags.dtype,
            backend=flags.backend,
            streaming=flags.streaming and name == MODEL,
            quantization=asked.facts,
        )
        made.append(
            export_artifact(
                name,
                lambda asked=asked: _model(checkpoint, sizes, flags, asked, progress),  # type: ignore[misc]
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
    directory.mkdir(parents=True, exist_ok=True)
    for artifact in made:
        with replace_file(directory / artifact.name) as scratch:
            shutil.copyfile(artifact.path, scratch)
    return made


def _relevant(flags: ExportFlags, name: str, progress: Callable[[str], None]) -> Quantization:
    """The quantisation of one artifact, without what the backend leaves out."""
    if name == CODEC:
        return flags.quantization.of_codec
    asked = flags.quantization.of_model
    if flags.backend == "xnnpack" and asked.qembedding:
        with quiet():
            from executorch.examples.models.voxtral_tts import export_voxtral_tts as upstream

        plan = upstream.resolve_effective_quantization(
            backend=flags.backend, qlinear=asked.qlinear, qembedding=asked.qembedding
        )
        progress(f"warning: {plan['warning']}")
        asked = replace(asked, qembedding=plan["qembedding"], qembedding_group_size=None)
    return asked


def _model(
    checkpoint: Checkpoint,
    sizes: Dimensions,
    flags: ExportFlags,
    asked: Quantization,
    progress: Callable[[str], None],
) -> object:
    """The model to export, quantised as asked."""
    progress("loading the eager model")
    with quiet():
        from harness.checkpoint.loading import load_model

        model = load_model(checkpoint, max_seq_len=sizes.max_seq_len, dtype=DTYPES[flags.dtype])
        if not asked.facts:
            return model
        from harness.export.kernels import quantized_copy

        progress("quantising")
        return quantized_copy(model, asked)
