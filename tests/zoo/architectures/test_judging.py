"""Each outcome that a program can have, through a stand-in for transformers' exporter."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.upstream import enable_mlx_exporter
from harness.zoo.architectures.judging import Lowerings
from harness.zoo.trial import Outcome, Verdict


@pytest.fixture(autouse=True)
def _exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that exports as transformers' does, in few lines."""
    enable_mlx_exporter()
    from executorch.backends.mlx import MLXPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    theirs: Any = ModuleType("transformers.exporters.exporter_executorch")

    @dataclass
    class ExecutorchConfig:
        backend: str

    class ExecutorchExporter:
        def export(self, module: nn.Module, kwargs: dict[str, Any], config: Any) -> Any:
            assert config.backend == "mlx"
            if "use_cache" in kwargs:  # a flag is no argument of the program
                module.use_cache = kwargs.pop("use_cache")
            program = torch.export.export(module, (), kwargs)
            edge = theirs.to_edge_transform_and_lower(
                program,
                partitioner=[MLXPartitioner()],
                compile_config=theirs._get_edge_compile_config(config.backend),
            )
            return SimpleNamespace(program=edge.to_executorch())

    theirs.ExecutorchConfig, theirs.ExecutorchExporter = ExecutorchConfig, ExecutorchExporter
    theirs.to_edge_transform_and_lower = to_edge_transform_and_lower
    theirs._get_edge_compile_config = lambda backend: EdgeCompileConfig(
        _check_ir_validity=False, _skip_dim_order=True
    )
    exporters: Any = ModuleType("transformers.exporters")
    exporters.exporter_executorch = theirs
    transformers: Any = ModuleType("transformers")
    transformers.__spec__ = importlib.machinery.ModuleSpec("transformers", None)
    transformers.exporters = exporters
    for module in (transformers, exporters, theirs):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.use_cache = False

    def forward(self, x: Tensor, mask: Tensor | None = None, use_cache: bool = False) -> Any:
        made = self.linear(x)
        down = made.sort(-1, descending=True)[0]  # stock sorts up
        if mask is not None:
            down = torch.where(mask[..., None], made, down)
        return {"made": down, "cache": made} if use_cache or self.use_cache else down


class Forgetful(nn.Module):
    def forward(self, x: Tensor, use_cache: bool = False) -> Any:
        return (x * 2, x) if use_cache else x * 2


def judged(module: nn.Module, lowering: str, **kwargs: Any) -> Outcome:
    stock, corrected = Lowerings(module.eval(), kwargs, "fp32").outcomes()
    return stock if lowering == "stock" else corrected


def test_a_wrong_lowering_is_told_with_its_node_and_line() -> None:
    given = {"x": torch.randn(2, 4), "use_cache": True}
    stock, corrected = Lowerings(Sorted().eval(), given, "fp32").outcomes()
    assert stock.verdict is Verdict.WRONG
    assert stock.detail.startswith("aten.sort.default (")
    assert "made.sort(-1, descending=True)" in stock.detail
    assert corrected == Outcome(Verdict.RIGHT)


def test_a_flag_that_the_exporter_forgets_is_told() -> None:
    found = judged(Forgetful(), "corrected", x=torch.randn(2, 4), use_cache=True)
    assert found.verdict is Verdict.WRONG
    assert "the exported graph is not the module" in found.detail


def test_bfloat16_is_judged_too() -> None:
    x = torch.randn(2, 4, dtype=torch.bfloat16)
    module = Sorted().to(torch.bfloat16).eval()
    stock, corrected = Lowerings(module, {"x": x}, "bf16").outcomes()
    assert corrected == Outcome(Verdict.RIGHT)
    assert stock.verdict is Verdict.WRONG


def test_positions_of_padding_do_not_matter() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    given = {"x": torch.randn(2, 3, 4), "mask": mask}
    module = Sorted().eval()
    assert Lowerings(module, given, "fp32").outcomes()[0].verdict is Verdict.WRONG
    found = Lowerings(module, given, "fp32", padding=~mask).outcomes()
    assert found == (Outcome(Verdict.RIGHT), Outcome(Verdict.RIGHT))


class Gathered(nn.Module):
    def forward(self, x: Tensor, i: Tensor) -> Tensor:
        return torch.relu(x).scatter(1, i, 2.0)


def test_operators_outside_the_delegate_are_named() -> None:
    found = judged(Gathered(), "stock", x=torch.randn(2, 4), i=torch.tensor([[1, 0], [2, 3]]))
    assert found == Outcome(Verdict.OUTSIDE, "aten::scatter.value_out")


def test_a_batch_norm_outside_the_delegate_is_right() -> None:
    found = judged(nn.BatchNorm1d(4), "corrected", input=torch.randn(3, 4))
    assert found == Outcome(Verdict.OUTSIDE, "aten::_native_batch_norm_legit_no_training.out")


class Filled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        made = x * 2
        made[:, 0] = 0.0  # lowers fully, and then cannot run
        return made


def test_a_program_that_cannot_run_is_told_with_its_node() -> None:
    stock, corrected = Lowerings(Filled().eval(), {"x": torch.randn(2, 4)}, "fp32").outcomes()
    assert stock.verdict is Verdict.CANNOT_RUN
    assert "does not run" in stock.detail
    assert corrected == Outcome(Verdict.RIGHT)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4))

    def forward(self, x: Tensor, i: Tensor) -> Tensor:
        return (x * self.weight).scatter(1, i, 2.0) * self.weight + x[0] @ self.weight[0]


def test_a_program_whose_weight_is_lost_cannot_be_loaded() -> None:
    """Stock keys a delegate's weights by name, and loses one that several delegates share."""
    found = judged(Twice(), "stock", x=torch.randn(2, 4), i=torch.tensor([[1, 0], [2, 3]]))
    assert found.verdict is Verdict.CANNOT_RUN
    assert found.detail.startswith("cannot be loaded: ")


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(torch.fft.fft(x.relu())).real


def test_a_program_whose_kernel_the_wheel_lacks_is_told() -> None:
    found = judged(Turned(), "stock", x=torch.randn(2, 4))
    assert found.verdict is Verdict.LACKS_KERNEL
    assert "aten::_fft_c2c.out" in found.detail


class Returned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x.relu()))


def test_a_program_of_complex_numbers_is_not_judged() -> None:
    found = judged(Returned(), "stock", x=torch.randn(2, 4))
    assert found.verdict is Verdict.NOT_JUDGED
    assert "complex numbers are not supported here" in found.detail


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_what_torch_export_refuses_cannot_be_exported() -> None:
    found = judged(Branching(), "stock", x=torch.randn(2, 4))
    assert found.verdict is Verdict.NOT_EXPORTED


class Optional(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return x * 2 if mask is None else x * mask


def test_what_mlx_alone_refuses_cannot_be_lowered() -> None:
    found = judged(Optional(), "stock", x=torch.randn(2, 4), mask=None)
    assert found.verdict is Verdict.NOT_LOWERED
    assert "ConstantArgument" in found.detail


class Unsteady(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.times = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return x * self.times


def test_an_exported_graph_that_is_not_the_module_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = sys.modules["transformers.exporters.exporter_executorch"].ExecutorchExporter
    export = theirs.export

    def otherwise(self: Any, module: Any, kwargs: Any, config: Any) -> Any:
        module.times = 3.0
        try:
            return export(self, module, kwargs, config)
        finally:
            module.times = 1.0

    monkeypatch.setattr(theirs, "export", otherwise)
    found = judged(Unsteady(), "corrected", x=torch.randn(2, 4))
    assert found.verdict is Verdict.WRONG
    assert "the exported graph is not the module" in found.detail
