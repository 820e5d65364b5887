"""A key holds all that a cached thing depends on, and nothing that only judges it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bench import subjects
from harness.cache import sources
from harness.cache.facts import key_of
from harness.conformance import programs
from harness.conformance.cases import Case, Mode
from harness.export.artifacts import ExportInputs, ExportOptions
from harness.methods.precision import FP32, PRECISIONS, Precision
from harness.parity import record
from harness.reference import quantize
from harness.reference.semantics import EXECUTORCH
from harness.synthesis import Utterance
from tests.methods.test_spec import SIZES

SHIPPED = PRECISIONS["bf16-4w8w"]


def eager(voice: Path, precision: Precision) -> Any:
    checkpoint = SimpleNamespace(digest="w", find_voice=lambda name: voice)
    plan: Any = SimpleNamespace(
        checkpoint=checkpoint,
        sizes=SIZES,
        utterance=Utterance(),
        spoken=Utterance(),
        precision=precision,
        semantics=EXECUTORCH,
    )
    models: Any = SimpleNamespace(checkpoint=checkpoint)
    return record._facts(plan, models)


def artifact(name: str, voice: Path, **options: Any) -> Any:
    return ExportInputs(name, SIZES, ExportOptions(**options), "w", voice).recipe.facts


def suite(**mode: bool) -> Any:
    return programs._facts([Case("ops", "add", 0, "add")], Mode(**mode))


layer = quantize.Layer("decoder.wq", "linear", "4w", 32)

FACTS: dict[str, Callable[[Path], Any]] = {
    "eager": lambda voice: eager(voice, FP32),
    "eager in 4 bits": lambda voice: eager(voice, SHIPPED),
    "model": lambda voice: artifact("model.pte", voice),
    "model in 4 bits": lambda voice: artifact("model.pte", voice, precision=SHIPPED),
    "codec": lambda voice: artifact("codec_decoder.pte", voice),
    "model on xnnpack": lambda voice: artifact("model.pte", voice, backend="xnnpack"),
    "model on portable": lambda voice: artifact("model.pte", voice, backend="portable"),
    "layer": lambda voice: layer.recipe("bfloat16", "w").facts,
    "stock programs": lambda voice: suite(corrected=False),
    "corrected programs": lambda voice: suite(corrected=True),
    "benchmark": lambda voice: subjects._facts(),
}
COMPUTED = tuple(FACTS)
"""Everything here is computed in floating point, if only its tables and folded weights."""


def forget() -> None:
    for kept in (
        sources._closure,
        sources._read,
        sources.package_sources,
        quantize._maker,
        programs._maker,
    ):
        kept.cache_clear()


@pytest.fixture(autouse=True)
def _afresh() -> Any:
    forget()
    yield
    forget()


def changed(change: str, voice: Path, patch: pytest.MonkeyPatch) -> None:
    """Make one change: of a variable, a version, the processors, the voice or a source."""
    name, _, value = change.partition("=")
    if change == "voice":
        voice.write_bytes(b"v0ice")
    elif change == "processors":
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(97)), raising=False)
        patch.setattr(os, "cpu_count", lambda: 97)
    elif change == "processor":
        patch.setattr(sources, "_processor", lambda: "another")
    elif value:
        patch.setenv(name, value)
    elif change.endswith((".py", ".fbs")):
        real = Path.read_bytes
        patch.setattr(
            Path,
            "read_bytes",
            lambda path: real(path) + (b"# edited" if path.as_posix().endswith(change) else b""),
        )
    elif change == "python":
        patch.setattr(sources.platform, "python_version", lambda: "3.99")
    else:
        version = sources.importlib.metadata.version
        patch.setattr(
            sources.importlib.metadata,
            "version",
            lambda package: "99.0" if package == change else version(package),
        )


MATTERS = {
    "OMP_NUM_THREADS=7": COMPUTED,
    "MKL_CBWR=COMPATIBLE": COMPUTED,
    "DNNL_MAX_CPU_ISA=AVX2": COMPUTED,
    "DNNL_DEFAULT_FPMATH_MODE=BF16": COMPUTED,
    "processors": COMPUTED,
    "processor": COMPUTED,
    "python": COMPUTED,
    "torch": COMPUTED,
    "executorch": COMPUTED,
    "torchao": COMPUTED,
    "numpy": ("eager", "model", "codec", "benchmark"),
    "ml_dtypes": ("eager", "model", "codec"),
    "safetensors": ("eager", "model", "codec", "layer"),
    "mistral-common": ("eager",),
    "tiktoken": ("eager",),
    "voice": ("eager", "eager in 4 bits", "model", "model in 4 bits", "model on xnnpack"),
    # ours
    "harness/checkpoint/loading.py": ("eager", "model", "codec", "layer", "benchmark"),
    "harness/checkpoint/mapped.py": ("eager", "model", "codec", "layer", "benchmark"),
    "harness/checkpoint/config.py": ("eager", "model", "codec"),
    "harness/checkpoint/voices.py": ("eager",),
    "harness/reference/eager.py": ("eager",),
    "harness/reference/disputed.py": ("eager",),
    "harness/reference/semantics.py": ("eager",),
    "harness/parity/record.py": ("eager",),
    "harness/parity/evidence.py": ("eager",),
    "harness/methods/cases.py": ("eager",),
    "harness/synthesis/noise.py": ("eager",),
    "harness/synthesis/sampling.py": ("eager",),
    "harness/reference/quantize.py": ("eager in 4 bits", "model in 4 bits", "layer"),
    "harness/export/modules.py": ("model", "codec", "benchmark"),
    "harness/export/corrections.py": ("model", "codec", "corrected programs", "benchmark"),
    "harness/export/index_put.py": ("model", "corrected programs", "benchmark"),
    "harness/export/negative_padding.py": ("model", "corrected programs", "benchmark"),
    "harness/export/integer_division.py": ("model", "corrected programs", "benchmark"),
    "harness/export/artifacts.py": ("model", "codec"),
    "harness/conformance/trial.py": ("stock programs", "corrected programs"),
    "harness/bench/subjects.py": ("benchmark",),
    # upstream's, at the same version
    "executorch/examples/models/voxtral_tts/model.py": (
        *("eager", "model", "codec", "layer", "benchmark"),
    ),
    "executorch/extension/llm/custom_ops/custom_ops.py": ("eager", "model", "model on xnnpack"),
    "executorch/extension/llm/export/quantize.py": ("eager in 4 bits", "model in 4 bits", "layer"),
    "torchao/quantization/quant_primitives.py": ("eager in 4 bits", "model in 4 bits", "layer"),
    "executorch/exir/memory_planning.py": ("model", "codec", "model on portable", "benchmark"),
    "executorch/backends/mlx/ops.py": ("model", "codec", "stock programs", "benchmark"),
    "executorch/backends/mlx/test/test_ops.py": ("stock programs", "corrected programs"),
    "executorch/backends/xnnpack/xnnpack_preprocess.py": ("model on xnnpack",),
}

SPARES = {
    "voice": ("codec", "layer", "stock programs"),
    "harness/parity/matrix.py": COMPUTED,
    "harness/pte/program.py": COMPUTED,
    "harness/parity/judge.py": COMPUTED,
    "harness/parity/__init__.py": COMPUTED,
    "harness/methods/catalog.py": COMPUTED,
    "harness/budget/ledger.py": COMPUTED,
    "harness/compare/metrics.py": COMPUTED,
    "harness/report/console.py": COMPUTED,
    "harness/cli/check.py": COMPUTED,
    "harness/cache/quota.py": COMPUTED,
    "harness/files.py": COMPUTED,
    "harness/errors.py": COMPUTED,
    "harness/runtime/portable/method.py": COMPUTED,
    "harness/export/corrections.py": ("eager", "layer", "stock programs"),
    "harness/reference/quantize.py": ("eager", "model", "codec"),
    "harness/reference/eager.py": ("model", "codec", "layer", "benchmark"),
    "executorch/backends/xnnpack/xnnpack_preprocess.py": ("eager", "model", "codec", "layer"),
    "executorch/backends/mlx/ops.py": ("eager", "layer", "model on xnnpack", "model on portable"),
    "executorch/extension/llm/export/quantize.py": ("eager", "codec"),
    "rich": COMPUTED,
    "VOXTRAL_PARITY_CACHE_BYTES=1": COMPUTED,
}


def keys(voice: Path) -> dict[str, str]:
    forget()
    return {name: key_of(make(voice)) for name, make in FACTS.items()}


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    (tmp_path / "voice.pt").write_bytes(b"voice")
    return tmp_path / "voice.pt"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("before") / "voice.pt"
    path.write_bytes(b"voice")
    return keys(path)


@pytest.mark.parametrize("change", [*MATTERS, *(c for c in SPARES if c not in MATTERS)])
def test_a_key_changes_with_what_it_depends_on_and_with_nothing_else(
    change: str, before: dict[str, str], voice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(change, voice, monkeypatch)
    after = keys(voice)

    moved = {name for name in FACTS if before[name] != after[name]}

    assert set(MATTERS.get(change, ())) <= moved
    assert not set(SPARES.get(change, ())) & moved


def test_evidence_depends_on_the_file_that_says_how_a_voice_is_read(voice: Path) -> None:
    numbers = voice.with_suffix(".bin")
    numbers.write_bytes(b"numbers")
    found = [key_of(eager(numbers, FP32))]
    voice.write_bytes(b"of other rows")
    found.append(key_of(eager(numbers, FP32)))
    voice.unlink()
    found.append(key_of(eager(numbers, FP32)))

    assert len(set(found)) == 3
