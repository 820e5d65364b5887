"""The exported cases: tiny modules that together use what the Voxtral methods use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.export.node_names import recording
from harness.export.patching import listed_once
from harness.upstream import enable_mlx_exporter, quiet

enable_mlx_exporter()

import executorch.backends.mlx.custom_ops  # noqa: E402, F401 - registers torch.ops.mlx
from executorch.backends.mlx.partitioner import MLXPartitioner  # noqa: E402
from executorch.exir import to_edge_transform_and_lower  # noqa: E402
from executorch.extension.llm.export.quantize import quantize_model_  # noqa: E402

Call = tuple[str, list[np.ndarray], np.ndarray]
S = torch.export.Dim("s", max=8)


def to_array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def export(
    path: Path,
    methods: dict[str, tuple[nn.Module, tuple[Tensor, ...], Any]],
    constants: dict[str, Any] | None = None,
    partitioned: bool = True,
) -> None:
    with quiet(), listed_once():
        _export(path, methods, constants, partitioned)


def _export(path: Path, methods: Any, constants: Any, partitioned: bool) -> None:
    programs = {
        name: torch.export.export(module.eval(), inputs, dynamic_shapes=dynamic, strict=False)
        for name, (module, inputs, dynamic) in methods.items()
    }
    with recording() as names:
        lowered = to_edge_transform_and_lower(
            programs,
            partitioner={name: [MLXPartitioner()] if partitioned else [] for name in programs},
            constant_methods=constants,
        ).to_executorch()
    with path.open("wb") as file:
        lowered.write_to_file(file)
    names.write(lowered, programs, path)
    torch.export.save(next(iter(programs.values())), path.with_suffix(".pt2"))


def calls(
    module: nn.Module, inputs: Sequence[tuple[Tensor, ...]], name: str = "forward"
) -> tuple[Call, ...]:
    """Eager outputs, call after call (the module's buffers carry on)."""
    with torch.no_grad():
        return tuple(
            (name, [to_array(t) for t in given], to_array(module(*given)).copy())
            for given in inputs
        )


def one(path: Path, module: nn.Module, *inputs: Tensor) -> tuple[Call, ...]:
    export(path, {"forward": (module, inputs, None)})
    return calls(module, [inputs])


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.linear(x))


def linear(path: Path) -> tuple[Call, ...]:
    return one(path, Linear(), torch.randn(2, 8))


class Convolutions(nn.Module):
    """Replicate padding, convolution, transposed convolution, trimmed on the right."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(6, 8, 7)
        self.up = nn.ConvTranspose1d(8, 4, 4, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.silu(self.down(F.pad(x, (6, 0), mode="replicate"))))[:, :, :-2]


def convolutions(path: Path) -> tuple[Call, ...]:
    return one(path, Convolutions(), torch.randn(1, 6, 12))


class Attention(nn.Module):
    """Grouped-query attention over a KV cache with interleaved rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(32, eps=1e-5)
        self.qkv = nn.Linear(32, 64, bias=False)
        self.register_buffer("keys", torch.zeros(1, 2, 16, 8))
        self.register_buffer("values", torch.zeros(1, 2, 16, 8))

    def forward(self, x: Tensor, cache_position: Tensor) -> Tensor:
        start = cache_position[0].item()
        torch._check(start >= 0)
        length = x.shape[1]
        q, k, v = self.qkv(self.norm(x)).split([32, 16, 16], dim=-1)
        q = q.view(1, length, 4, 8).transpose(1, 2)
        k = k.view(1, length, 2, 8).transpose(1, 2)
        v = v.view(1, length, 2, 8).transpose(1, 2)
        q = torch.ops.mlx.rope(q, 8, start, True, 10000.0)
        k = torch.ops.mlx.rope(k, 8, start, True, 10000.0)
        torch.ops.mlx.kv_cache_update(self.keys, k, start)
        torch.ops.mlx.kv_cache_update(self.values, v, start)
        out = torch.ops.mlx.custom_sdpa(q, self.keys, self.values, start, None, 0.0, True)
        return out.transpose(1, 2).reshape(1, length, 32)


def attention(path: Path) -> tuple[Call, ...]:
    module = Attention()
    steps = [(0, 5), (5, 1), (6, 1)]
    inputs = [(torch.randn(1, n, 32), torch.arange(at, at + n)) for at, n in steps]
    export(path, {"forward": (module, inputs[0], ({1: S}, {0: S}))})
    return calls(module, inputs)


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids).softmax(-1).sum(1, keepdim=True)


def lookup(path: Path) -> tuple[Call, ...]:
    module = Lookup()
    inputs = [(torch.randint(0, 50, (1, n)),) for n in (1, 4, 8)]
    export(path, {"forward": (module, inputs[1], ({1: S},))})
    return calls(module, inputs)


class Quantized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 128)
        self.linear = nn.Linear(128, 64, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.table(ids))


def quantized(path: Path) -> tuple[Call, ...]:
    module = Quantized().to(torch.bfloat16)
    quantize_model_(module, qlinear_config="4w", qlinear_group_size=32)
    quantize_model_(module, qembedding_config="8w", qembedding_group_size=128)
    ids = torch.randint(0, 50, (1, 6))
    export(path, {"forward": (module, (ids,), None)})
    return calls(module, [(ids,)])


def several(path: Path) -> tuple[Call, ...]:
    """Two methods and four constant ones."""
    first, x = Linear(), torch.randn(2, 8)
    second, y = Convolutions(), torch.randn(1, 6, 12)
    export(
        path,
        {"first": (first, (x,), None), "second": (second, (y,), None)},
        {"sample_rate": 24000, "voice": "casual_male", "streaming": True, "guidance": 1.2},
    )
    return calls(first, [(x,)], "first") + calls(second, [(y,)], "second")


def undelegated(path: Path) -> tuple[Call, ...]:
    module, x = Linear(), torch.randn(2, 8)
    export(path, {"forward": (module, (x,), None)}, partitioned=False)
    return calls(module, [(x,)])


class Folded(nn.Module):
    """Stock MLX leaves `index_put` to a kernel, so two delegates stand around it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        hidden = F.gelu(self.before(x))
        written = torch.zeros(6, 8).index_put([rows], hidden, accumulate=True)
        return self.after(written.view(3, 2, 8)).softmax(-1)


def folded(path: Path) -> tuple[Call, ...]:
    return one(path, Folded(), torch.randn(3, 8), torch.tensor([4, 0, 4]))


class Counting(nn.Module):
    """A buffer that a kernel updates in place, beside one in the delegate."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8, elementwise_affine=False)
        self.register_buffer("seen", torch.zeros(6, 8))

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        self.seen.index_put_([rows], self.norm(x), accumulate=True)
        return self.seen.tanh()


def counting(path: Path) -> tuple[Call, ...]:
    module = Counting()
    inputs = [(torch.randn(2, 8), torch.tensor(rows)) for rows in ([0, 1], [1, 5], [1, 1])]
    export(path, {"forward": (module, inputs[0], None)})
    return calls(Counting(), inputs)


class Cached(nn.Module):
    """The KV cache and attention of upstream's own text decoder, in `llama` operators."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48, bias=False)
        self.register_buffer("keys", torch.zeros(1, 12, 2, 8))
        self.register_buffer("values", torch.zeros(1, 12, 2, 8))

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        start = position[0].item()
        torch._check(start >= 0)
        torch._check(start < 12)
        length = x.shape[1]
        q, k, v = (part.view(1, length, 2, 8) for part in self.qkv(x).split(16, dim=-1))
        torch.ops.llama.update_cache(k, self.keys, start)
        torch.ops.llama.update_cache(v, self.values, start)
        made = torch.ops.llama.custom_sdpa(q, self.keys, self.values, start, None, 0.0, True)
        return F.silu(made.reshape(1, length, 16))


def cached(path: Path) -> tuple[Call, ...]:
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401 - registers the operators

    module = Cached()
    steps = [(0, 5), (5, 1), (6, 2)]
    inputs = [(torch.randn(1, n, 16), torch.arange(at, at + n)) for at, n in steps]
    export(path, {"forward": (module, inputs[0], ({1: S}, {0: S}))})
    return calls(module, inputs)


class Branching(nn.Module):
    """Delegates before and after a branch, whose sides are kernels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda t: (t * 2).sin(), lambda t: t.cos() - 1, (x,)) + 1


def branching(path: Path) -> tuple[Call, ...]:
    module, inputs = Branching(), [(torch.ones(2, 3),), (-torch.ones(2, 3),), (torch.eye(2, 3),)]
    export(path, {"forward": (module, inputs[0], None)})
    return calls(module, inputs)


class Mapping(nn.Module):
    def forward(self, rows: Tensor, by: Tensor) -> Tensor:
        from torch._higher_order_ops.map import map as over

        return over(lambda row, other: (row * other).exp(), rows, by)


def mapping(path: Path) -> tuple[Call, ...]:
    module, inputs = Mapping(), [(torch.randn(4, 3), torch.randn(3)) for _ in range(2)]
    export(path, {"forward": (module, inputs[0], None)}, partitioned=False)
    return calls(module, inputs)


class Shaped(nn.Module):
    """Sizes that a call decides reach kernels as numbers, and a view that is not elided."""

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        return torch.cat([x.view(length, 4), torch.full((length, 1), 2.0)], 1).sum(1) / length


def shaped(path: Path) -> tuple[Call, ...]:
    module, inputs = Shaped(), [(torch.randn(1, n, 4),) for n in (5, 1, 8)]
    export(path, {"forward": (module, inputs[0], ({1: S},))}, partitioned=False)
    return calls(module, inputs)


def external(path: Path) -> tuple[Call, ...]:
    """Weights beside the program, in `external.ptd` of the same directory."""
    module, x = Linear(), torch.randn(2, 8)
    program = torch.export.export(module.eval(), (x,), strict=False)
    with quiet():
        from executorch.exir import ExecutorchBackendConfig

        lowered = to_edge_transform_and_lower(program).to_executorch(
            ExecutorchBackendConfig(external_constants=True)
        )
        with path.open("wb") as file:
            lowered.write_to_file(file)
        lowered.write_tensor_data_to_file(str(path.parent))
    (path.parent / "_default_external_constant.ptd").rename(path.with_suffix(".ptd"))
    return calls(module, [(x,)])


def xnnpack(path: Path) -> tuple[Call, ...]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    module, x = Linear(), torch.randn(2, 8)
    with quiet():
        program = torch.export.export(module.eval(), (x,), strict=False)
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        with path.open("wb") as file:
            lowered.to_executorch().write_to_file(file)
    return calls(module, [(x,)])


class Narrow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def narrow(path: Path) -> tuple[Call, ...]:
    return one(path, Narrow().to(torch.bfloat16), torch.randn(2, 8, dtype=torch.bfloat16))


def twins(path: Path) -> tuple[Call, ...]:
    """Two methods with a bfloat16 weight of the same size each."""
    # Weights of one name in two methods would have to be the same.
    one, two = Narrow().to(torch.bfloat16), nn.Sequential(Narrow()).to(torch.bfloat16)
    x = torch.randn(2, 8, dtype=torch.bfloat16)
    export(path, {"one": (one, (x,), None), "two": (two, (x,), None)})
    return calls(one, [(x,)], "one") + calls(two, [(x,)], "two")


class Masked(nn.Module):
    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        hidden = x[:, :, ::2].masked_fill(steps.unsqueeze(-1) > 2, -1e9)
        picked = torch.where(hidden > 0, hidden, hidden * 0.5)
        return torch.cat([picked, hidden.cumsum(1)], dim=-1).to(torch.bfloat16)


def masked(path: Path) -> tuple[Call, ...]:
    return one(path, Masked(), torch.randn(1, 5, 8), torch.arange(5).view(1, 5))


CASES: dict[str, Callable[[Path], tuple[Call, ...]]] = {
    case.__name__: case
    for case in (
        attention,
        branching,
        cached,
        convolutions,
        counting,
        external,
        folded,
        linear,
        lookup,
        mapping,
        masked,
        narrow,
        quantized,
        several,
        shaped,
        twins,
        undelegated,
        xnnpack,
    )
}


def make(name: str, path: Path) -> tuple[Call, ...]:
    """Export one case to `path`; the same weights and inputs in any order of tests."""
    torch.manual_seed(7)
    return CASES[name](path)
