"""Small programs for ExecuTorch's runtime, exported once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.export.patching import listed_once
from harness.runtime.native import NativeExecutor
from harness.upstream import enable_mlx_exporter


class Dense(nn.Module):
    """A linear layer and a GELU with weights from seed 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.linear(x))


class Gate(nn.Module):
    """SiLU; unlike a linear layer, XNNPACK's partitioner lowers it in a second."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)


class Total(nn.Module):
    """Adds its input to a buffer, as a KV cache keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 1.0


class Waves(nn.Module):
    """Several activations of its input's size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.sin().cos().exp() * 2).sin()


class Shift(nn.Module):
    """Adds a plain number."""

    def forward(self, x: torch.Tensor, by: int) -> torch.Tensor:
        return x + by


class Lookup(nn.Module):
    """Embedding rows of token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.arange(12.0).reshape(6, 2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)


CONSTANTS = {"sample_rate": 24000, "streaming": True, "voice": "ada", "guidance": 1.5}


def _exported() -> dict[str, torch.export.ExportedProgram]:
    rows = torch.export.Dim("rows", min=1, max=8)
    return {
        "dense": torch.export.export(
            Dense().eval(), (torch.zeros(2, 4),), dynamic_shapes=({0: rows},)
        ),
        "gate": torch.export.export(Gate(), (torch.zeros(2, 4),), dynamic_shapes=({0: rows},)),
        "total": torch.export.export(Total(), (torch.zeros(4),)),
        "again": torch.export.export(Total(), (torch.zeros(4),)),
        "waves": torch.export.export(Waves(), (torch.zeros(256),)),
        "half": torch.export.export(Waves(), (torch.zeros(4, dtype=torch.bfloat16),)),
        "shift": torch.export.export(Shift(), (torch.zeros(2), 3)),
        "lookup": torch.export.export(Lookup(), (torch.zeros(1, 3, dtype=torch.int64),)),
    }


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `portable.pte` with all methods, and three files with some of them.

    `xnnpack.pte` is lowered to XNNPACK, `mlx.pte` to MLX, and the methods of `shared.pte` have
    their mutable buffers in a memory of their own, buffers of one name in common.
    """
    enable_mlx_exporter()
    from executorch.backends.mlx import MLXPartitioner
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    folder = tmp_path_factory.mktemp("native")
    sharing = ExecutorchBackendConfig(
        memory_planning_pass=MemoryPlanningPass(share_mutable_buffers=True)
    )
    everything = _exported()
    for name, chosen, partitioner, config in (
        ("portable", tuple(everything), None, None),
        ("xnnpack", ("gate", "total"), [XnnpackPartitioner()], None),
        ("shared", ("total", "again", "waves"), None, sharing),
        ("mlx", ("dense",), [MLXPartitioner()], None),
    ):
        # Lowering changes the exported program's buffers, so each file starts from a copy.
        methods = {key: copy.deepcopy(everything[key]) for key in chosen}
        with listed_once():
            edge = (
                to_edge_transform_and_lower(
                    methods, partitioner=partitioner, constant_methods=CONSTANTS
                )
                if partitioner
                else to_edge(methods, constant_methods=CONSTANTS)
            )
        (folder / f"{name}.pte").write_bytes(edge.to_executorch(config).buffer)
    return folder


@pytest.fixture(scope="module")
def runtime() -> Iterator[NativeExecutor]:
    """One child process, started once for the tests of a module."""
    executor = NativeExecutor()
    yield executor
    executor.close()
