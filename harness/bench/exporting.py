"""What exporting a method takes, beside upstream's own lowering of the same module.

Both sides start from the same eager model and module, trace it with `torch.export`, lower it with
upstream's partitioner and write a file. Ours adds the corrections and what makes the bytes the
same everywhere; stock is upstream's three calls and nothing else.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.bench.rounds import alternate
from harness.checkpoint import open_checkpoint
from harness.methods import METHODS, Dimensions, Method
from harness.parity.plan import capacities
from harness.upstream import quiet
from harness.values import encode

__all__ = ["LIMIT", "ExportTiming", "bench_export", "lower_stock"]

LIMIT = 1.2
"""Export may take a fifth more than upstream's own lowering of the same module."""

_NOTES: Mapping[str, str] = {
    "text_decoder": "our module on both sides: upstream's own leaves its attention undelegated",
    "semantic_head": "stock's file lowers whole and cannot run",
    "codec": "native convolutions on both sides: upstream's own form stays half undelegated",
}
"""What to know about the stock side of a method."""


@dataclass(frozen=True)
class ExportTiming:
    """Seconds of each export of one method, in the order in which they ran.

    `note` says what is compared, where that is not obvious.
    """

    checkpoint: str
    method: str
    ours_seconds: tuple[float, ...]
    stock_seconds: tuple[float, ...]
    note: str = ""

    @property
    def ratio(self) -> float:
        """Median of ours over median of stock."""
        return statistics.median(self.ours_seconds) / statistics.median(self.stock_seconds)

    @property
    def met(self) -> bool:
        """Whether `ratio` is at most `LIMIT`."""
        return self.ratio <= LIMIT

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON's types."""
        return {**encode(self), "ratio": self.ratio, "limit": LIMIT, "met": self.met}


def bench_export(
    checkpoint: str,
    progress: Callable[[str], None],
    *,
    methods: tuple[Method, ...] = METHODS,
    rounds: int = 5,
) -> Iterator[ExportTiming]:
    """Time each method's export in fp32, ours and stock in turn; the medians of `rounds` count."""
    from harness.checkpoint.loading import load_model
    from harness.export.lower import lower_to_mlx
    from harness.export.programs import PROGRAMS

    opened = open_checkpoint(checkpoint)
    max_seq_len, max_codec_frames = capacities(opened.name)
    sizes = Dimensions.of(opened.config, max_seq_len=max_seq_len, max_codec_frames=max_codec_frames)
    with quiet():
        model = load_model(opened, max_seq_len=max_seq_len)
    with tempfile.TemporaryDirectory(prefix="voxtral-parity-") as folder:
        path = Path(folder) / "method.pte"
        for method in methods:

            def ours(method: Method = method) -> None:
                with quiet():
                    program = PROGRAMS[method.name](model, sizes)
                lower_to_mlx({method.entry: program}, {}, path)

            progress(f"exporting {method.name} of {opened.name}, {2 * (rounds + 1)} times")
            stock = partial(lower_stock, method, model, sizes, path)
            taken = alternate({"ours": ours, "stock": stock}, rounds)
            note = _NOTES.get(method.name, "")
            yield ExportTiming(opened.name, method.name, taken["ours"], taken["stock"], note)


def lower_stock(method: Method, model: Any, sizes: Dimensions, path: Path) -> None:
    """Trace, lower and write a method with upstream's own calls, no correction applied."""
    from harness.export.programs import TRACEABLES
    from harness.upstream import enable_mlx_exporter

    enable_mlx_exporter()
    with quiet():
        import torch
        from executorch.backends.mlx import MLXPartitioner
        from executorch.exir import (
            EdgeCompileConfig,
            ExecutorchBackendConfig,
            to_edge_transform_and_lower,
        )

        what = TRACEABLES[method.name](model, sizes)
        with torch.no_grad():
            program = torch.export.export(
                what.module.eval(), what.inputs, dynamic_shapes=what.dynamic_shapes, strict=False
            )
        edge = to_edge_transform_and_lower(
            {method.entry: program},
            partitioner={method.entry: [MLXPartitioner()]},
            compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        )
        lowered = edge.to_executorch(ExecutorchBackendConfig(extract_delegate_segments=True))
    path.write_bytes(lowered.buffer)
