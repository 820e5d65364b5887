"""The XNNPACK pair beside upstream's own export of the same checkpoint."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import nn

from fixtures.exports import Line
from harness.checkpoint import Checkpoint
from harness.export.kernels import (
    KERNEL_PROGRAMS,
    dequantized_copy,
    lower_to_kernels,
    quantized_by_upstream,
)
from harness.export.programs import PROGRAMS
from harness.export.quantization import KernelQuantization
from harness.files import cache_dir, replace_directory
from harness.methods.precision import Precision
from harness.parity import Request
from harness.pte.plan import TensorValue
from harness.pte.program import read_program
from harness.runtime.native import NativeExecutor

FILES = ("model.pte", "codec_decoder.pte")


@pytest.fixture(scope="session")
def upstream(tiny: Checkpoint) -> Path:
    """What upstream's script writes for `tiny`, as a user runs it; a minute or two, once."""
    stack = "-".join(importlib.metadata.version(name) for name in ("executorch", "torch"))
    folder = cache_dir() / "upstream" / f"xnnpack-{tiny.digest[:16]}-{stack}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with replace_directory(folder) as scratch:
                _run_upstream(tiny.directory, scratch)
    return folder


def _run_upstream(checkpoint: Path, folder: Path) -> None:
    from executorch.examples.models.voxtral_tts import export_voxtral_tts as script

    arguments = [
        "export_voxtral_tts.py", "--model-path", str(checkpoint), "--output-dir", str(folder),
        "--backend", "xnnpack", "--max-seq-len", "128", "--max-codec-frames", "40",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(_Lines()):
        patch.setattr("sys.argv", arguments)
        script.main()


class _Lines(io.StringIO):
    """Takes the script's output, which it asks to be line-buffered."""

    def reconfigure(self, **options: bool) -> None:
        """Nothing to change."""


@pytest.fixture(scope="session")
def ours() -> Line:
    return Line(Request(executor="xnnpack"))


@pytest.fixture(params=FILES)
def both(
    request: pytest.FixtureRequest, ours: Line, upstream: Path
) -> Iterator[tuple[NativeExecutor, NativeExecutor]]:
    theirs, mine = NativeExecutor(), NativeExecutor(name="xnnpack")
    theirs.load(upstream / request.param)
    mine.load(ours.artifact(request.param).path)
    yield theirs, mine
    theirs.close()
    mine.close()


@pytest.mark.slow
def test_methods_and_inputs_are_upstreams(both: tuple[NativeExecutor, NativeExecutor]) -> None:
    theirs, mine = both

    assert set(mine.methods()) == set(theirs.methods())
    assert {m: mine.inputs(m) for m in mine.methods()} == {
        m: theirs.inputs(m) for m in theirs.methods()
    }


@pytest.mark.slow
def test_metadata_values_are_upstreams(both: tuple[NativeExecutor, NativeExecutor]) -> None:
    theirs, mine = both
    constants = [method for method in theirs.methods() if not theirs.inputs(method)]

    assert len(constants) >= 5
    assert {m: mine.call(m, [])[0].item() for m in constants} == {
        m: theirs.call(m, [])[0].item() for m in constants
    }


@pytest.mark.slow
def test_outputs_are_upstreams(
    both: tuple[NativeExecutor, NativeExecutor], tiny_line: Line
) -> None:
    theirs, mine = both
    for method in tiny_line.plan.selected:
        if method.entry not in theirs.methods():
            continue
        (spoken, *_) = tiny_line.evidence.cases[method.name]
        for call in spoken.case.calls[:2]:
            (want,), (got,) = theirs.call(method.entry, call), mine.call(method.entry, call)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_mlx_pair_declares_the_same(name: str, tiny_line: Line, upstream: Path) -> None:
    """Dtypes and sizes from the files themselves: no runtime here runs MLX."""
    assert _declared(tiny_line.artifact(name).path) == _declared(upstream / name)


def _declared(path: Path) -> dict[str, list[object]]:
    """Inputs and outputs of every method; of a constant method, its value."""
    program = read_program(path)
    try:
        return {
            name: [_form(plan.values[index]) for index in (*plan.inputs, *plan.outputs)]
            for name, plan in program.plans.items()
        }
    finally:
        program.close()


def _form(value: object) -> object:
    if isinstance(value, TensorValue):
        return value.scalar_type, value.sizes, value.dynamic
    return value


class Layers(nn.Module):
    """The parts of the model that quantisation reaches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.decoder = nn.Sequential(nn.Linear(64, 64, bias=False))
        self.flow_head = nn.Sequential(nn.Linear(36, 64, bias=False), nn.Linear(64, 64))
        self.codec_decoder = nn.Sequential(nn.Linear(64, 64, bias=False))


def test_quantising_leaves_the_model_as_it_is() -> None:
    model = Layers()
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}

    twin = quantized_by_upstream(model, Precision(qlinear="8w"), KernelQuantization(codec="8w"))

    assert type(twin.decoder[0].weight) is not nn.Parameter
    assert type(twin.codec_decoder[0].weight) is not nn.Parameter
    assert twin.flow_head[1].bias is model.flow_head[1].bias
    assert all(torch.equal(model.get_parameter(name), value) for name, value in before.items())


def test_dequantised_weights_have_the_quantised_values() -> None:
    model = Layers()
    twin = quantized_by_upstream(model, Precision(qlinear="4w"), KernelQuantization())
    x = torch.randn(2, 64)

    plain = dequantized_copy(twin)

    assert type(plain.decoder[0].weight) is nn.Parameter
    assert not torch.allclose(model.decoder(x), twin.decoder(x), atol=1e-3)
    torch.testing.assert_close(plain.decoder(x), twin.decoder(x), rtol=0, atol=1e-6)


class Convolution(nn.Module):
    """One convolution of the codec's kind, in bf16."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        weight = (torch.randn(8, 64, 7) / 448**0.5).bfloat16()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x, self.weight)


def test_stock_convolution_still_adds_up_in_bf16(tmp_path: Path) -> None:
    """The day this fails, bf16 codecs for CPU kernels can have native convolutions again."""
    module, x = Convolution().eval(), torch.randn(1, 64, 40).bfloat16()
    path, executor = tmp_path / "convolution.pte", NativeExecutor(name="xnnpack")
    lower_to_kernels({"forward": torch.export.export(module, (x,))}, {}, path, "portable")
    executor.load(path)
    try:
        (got,) = executor.call("forward", [x.float().numpy().astype(ml_dtypes.bfloat16)])
    finally:
        executor.close()

    want = F.conv1d(x.double(), module.weight.double()).numpy()
    rounded = module(x).double().numpy()

    assert rms(rounded - want) < 0.003 * rms(want)
    assert rms(got.astype(np.float64) - want) > 0.01 * rms(want)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.mark.parametrize(("dtype", "form"), [("bfloat16", "unfold"), ("float32", "conv")])
def test_bf16_codecs_on_cpu_kernels_have_matrix_products(
    dtype: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    monkeypatch.setitem(PROGRAMS, "codec", lambda model, sizes, form: taken.append(form))

    KERNEL_PROGRAMS["codec"](Layers().to(getattr(torch, dtype)), None)

    assert taken == [form]


def test_a_model_without_quantised_weights_is_not_copied() -> None:
    model = Layers()

    assert dequantized_copy(model) is model
