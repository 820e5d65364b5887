"""The two files of an export: made once, kept in the cache under what they were made from."""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import harness
from harness.cache import Recipe, hold, maker, read_or_make
from harness.errors import HarnessError, InputError, one_of
from harness.export.quantization import KernelQuantization
from harness.files import file_digest, read_json
from harness.methods import METHODS, MODEL, Dimensions, Method
from harness.methods.precision import FP32, Precision
from harness.upstream import parts, quiet

__all__ = [
    "BACKENDS",
    "LOWERED",
    "LOWERED_BY",
    "STACK",
    "Artifact",
    "ExportInputs",
    "ExportOptions",
    "export_artifact",
    "given_artifact",
    "given_path",
    "is_refusal",
]

STACK = ("torch", "executorch", "torchao", "flatbuffers", "numpy", "safetensors", "ml_dtypes")
"""Distributions whose version changes the bytes of an export."""

LOWERED = (
    "exir",
    "extension/flat_tensor",
    "extension/llm/custom_ops",
    "examples/models/voxtral_tts",
)
"""Parts of ExecuTorch that every export of the model goes through."""

LOWERED_BY = {
    "mlx": ("backends/mlx", "extension/llm/cache"),
    "xnnpack": ("backends/xnnpack", "backends/transforms"),
}
"""Those of one backend; the portable kernels' lowering is ``exir`` alone."""

_ABOUT = "about.json"

_OURS = Path(harness.__file__).parent

_MISTAKES = (TypeError, AttributeError, NameError, LookupError, AssertionError)
"""Raised by our own line, these are faults of the harness; corrections refuse by `ValueError`."""

_NO_MEMORY = re.compile("can't allocate memory|not enough memory|No space left on device")
"""What torch and safetensors say of the machine in a `RuntimeError`."""

BACKENDS = ("mlx", "xnnpack", "portable")
"""What a program is lowered to; ``portable`` are ExecuTorch's portable CPU kernels."""


@dataclass(frozen=True)
class ExportOptions:
    """How an export is made, besides its weights and sizes.

    Attributes
    ----------
    precision
        Floating-point type and quantisation of the weights.
    codec_form
        One of `harness.export.codec.CODEC_FORMS`.
    without
        Corrections left out, so that upstream's stock lowering is judged.
    backend
        One of `BACKENDS`.
    streaming
        Whether the runner should decode in chunks.
    kernels
        How the model was quantised by upstream's own flags, to be lowered for CPU kernels as it
        is. None: these get the quantised values in floating point.
    """

    precision: Precision = FP32
    codec_form: str = "conv"
    without: tuple[str, ...] = ()
    backend: str = "mlx"
    streaming: bool = False
    kernels: KernelQuantization | None = None

    def __post_init__(self) -> None:
        one_of("backend", self.backend, BACKENDS)
        if self.backend == "mlx":
            self.precision.check_for_mlx()
        # Only what is unusual is looked up, since the look-up needs torch.
        if self.without:
            from harness.export.corrections import check_names

            check_names(self.without)
        if self.codec_form != "conv":
            from harness.export.codec import CODEC_FORMS

            one_of("codec form", self.codec_form, CODEC_FORMS)


@dataclass(frozen=True)
class Artifact:
    """One exported file.

    Attributes
    ----------
    name, path
        ``model.pte`` or ``codec_decoder.pte``, and where it is.
    bytes, sha256
        Size and content of the file, which is as it was exported, or was given.
    seconds
        What the export took.
    origin
        ``exported`` in this run, ``cached`` from an earlier one, or ``given`` by the user.
    failures
        Methods that could not be lowered, and why; they are not in the file.
    """

    name: str
    path: Path
    bytes: int
    sha256: str
    seconds: float
    origin: str
    failures: Mapping[str, str]


@dataclass(frozen=True)
class ExportInputs:
    """All that one file is exported from.

    Attributes
    ----------
    name
        ``"model.pte"`` or ``"codec_decoder.pte"``.
    sizes
        Dimensions of the export.
    options
        How to export.
    weights
        Digest of the checkpoint.
    voice
        Embedding of the default voice, whose rows are a metadata method of `model.pte`; None: none.
    """

    name: str
    sizes: Dimensions
    options: ExportOptions
    weights: str
    voice: Path | None

    @property
    def methods(self) -> list[Method]:
        """Those in the file."""
        return [method for method in METHODS if method.artifact == self.name]

    @property
    def recipe(self) -> Recipe:
        """Everything that changes the bytes: weights, sizes, options, versions and sources."""
        sizes, options = self.sizes, self.options
        voice = self.voice if self.name == MODEL else None
        quantized = options.precision.quantized or options.kernels is not None
        facts = {
            "weights": f"sha256:{self.weights}",
            "voice": f"sha256:{file_digest(voice)}" if voice else None,
            "sizes": asdict(sizes),
            "options": asdict(options),
            "methods": [[method.name, method.entry] for method in self.methods],
            **maker(
                "harness.export.artifacts",
                "harness.checkpoint.loading",
                *(("harness.reference.quantize",) if quantized else ()),
                stack=STACK,
                packages=parts(*LOWERED, *LOWERED_BY.get(options.backend, ()), quantized=quantized),
            ),
        }
        brief = (
            f"{options.precision.name} on {options.backend}, max_seq_len {sizes.max_seq_len}, "
            f"max_codec_frames {sizes.max_codec_frames}, weights {self.weights[:12]}"
            + "".join(f", without {correction}" for correction in options.without)
        )
        return Recipe("artifacts", self.name, facts, brief, "exporting")


def export_artifact(
    inputs: ExportInputs,
    model: Callable[[], Any],
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Artifact:
    """Export one artifact, or find it in the cache, where it then stays for this process.

    Parameters
    ----------
    inputs, fresh, progress
        What from; whether to export even if the cache has it; called with what is being done.
    model
        Gives upstream's ``VoxtralTTSModel``, loaded with ``sizes.max_seq_len`` and quantised as
        the options say; asked only where something must be exported.
    """
    recipe, origin = inputs.recipe, "cached"

    def make(scratch: Path) -> None:
        nonlocal origin
        _export(scratch, inputs, model())
        origin = "exported"

    path = hold(recipe) / inputs.name
    read = partial(_about, name=inputs.name)
    about = read_or_make(recipe, make, read, fresh=fresh, progress=progress)
    return Artifact(name=inputs.name, path=path, origin=origin, **about)


def given_path(directory: Path, name: str) -> Path:
    """Where an artifact lies that somebody else exported; where it is missing, an `InputError`."""
    path = directory / name
    if not path.is_file():
        raise InputError(
            f"{name} is not in {directory}; --artifacts names a directory that holds "
            "model.pte and codec_decoder.pte"
        )
    return path


def given_artifact(directory: Path, name: str) -> Artifact:
    """An artifact that somebody else exported; raises as `given_path` does."""
    path = given_path(directory, name)
    return Artifact(name, path, path.stat().st_size, file_digest(path), 0.0, "given", {})


def _export(directory: Path, inputs: ExportInputs, model: Any) -> None:
    from executorch.examples.models.voxtral_tts.voice import load_voice_embedding_tensor

    from harness.export.kernels import KERNEL_PROGRAMS, dequantized_copy, lower_to_kernels
    from harness.export.lower import lower_to_mlx
    from harness.export.programs import PROGRAMS, codec_metadata, model_metadata

    started = time.perf_counter()
    file, methods = directory / inputs.name, inputs.methods
    sizes, options, voice = inputs.sizes, inputs.options, inputs.voice
    trace = PROGRAMS
    if options.backend != "mlx":
        trace = KERNEL_PROGRAMS
        # Upstream's flags are lowered as upstream lowers them, whatever comes of it.
        model = model if options.kernels else dequantized_copy(model)
    if inputs.name != MODEL:
        metadata = codec_metadata(model, sizes)
    else:
        rows = 0 if voice is None else len(load_voice_embedding_tensor(voice, dim=sizes.dim))
        metadata = model_metadata(model, sizes, voice_embed_len=rows, streaming=options.streaming)

    def lower(chosen: Iterable[Method]) -> None:
        with quiet():
            programs = {}
            for method in chosen:
                extra = {"form": options.codec_form} if method.name == "codec" else {}
                programs[method.entry] = trace[method.name](model, sizes, **extra)
        if options.backend == "mlx":
            lower_to_mlx(programs, metadata, file, without=options.without)
        else:
            lower_to_kernels(programs, metadata, file, options.backend)

    def refusal(*chosen: Method) -> Exception | None:
        try:
            lower(chosen)
        except Exception as error:
            if not is_refusal(error):
                raise
            return error
        return None

    failures: dict[str, str] = {}
    if together := refusal(*methods):
        # Which of them cannot be lowered? Each alone says so; the others are still judged.
        for method in methods:
            if alone := refusal(method):
                failures[method.name] = f"{type(alone).__name__}: {alone}".strip()
        if not failures:
            raise together
        if sound := [method for method in methods if method.name not in failures]:
            lower(sound)
    about = {
        "bytes": file.stat().st_size if file.exists() else 0,
        "sha256": file_digest(file) if file.exists() else "",
        "seconds": round(time.perf_counter() - started, 3),
        "failures": failures,
    }
    (directory / _ABOUT).write_text(json.dumps(about, indent=1))


def _about(entry: Path, name: str) -> dict[str, Any] | None:
    """What `_export` wrote of its work; None where that, or the exported file, is damaged."""
    kinds = {"bytes": int, "sha256": str, "seconds": float, "failures": dict}
    try:
        about = read_json(entry / _ABOUT, _ABOUT)
    except HarnessError:
        return None
    whole = isinstance(about, dict) and {name: type(about[name]) for name in about} == kinds
    if not whole:
        return None
    file = entry / name
    return about if (file_digest(file) if file.exists() else "") == about["sha256"] else None


def is_refusal(error: BaseException) -> bool:
    """Whether torch or ExecuTorch refused to lower a method, which is the export's fault.

    No memory, no disk, a missing component, our own `HarnessError` and a plain mistake in our
    code are not, also where torch has wrapped them: those pass, and the next run tries again.
    """
    cause: BaseException | None = error
    while cause is not None:
        machine = isinstance(cause, (OSError, MemoryError, ImportError, SubprocessError))
        if machine or isinstance(cause, (HarnessError, RecursionError)):
            return False
        if isinstance(cause, RuntimeError) and _NO_MEMORY.search(str(cause)):
            return False
        cause = cause.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    by_us = bool(frames) and Path(frames[-1].filename).is_relative_to(_OURS)
    return not (by_us and isinstance(error, _MISTAKES))
