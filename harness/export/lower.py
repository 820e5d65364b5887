"""`torch.export` programs → one ExecuTorch program, delegated to MLX."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch.export import ExportedProgram

from harness.export.corrections import applied
from harness.export.graph_nodes import without_sources
from harness.export.node_names import recording
from harness.export.patching import listed_once
from harness.files import replace_file
from harness.upstream import enable_mlx_exporter, quiet

__all__ = ["lower_to_mlx"]


def lower_to_mlx(
    programs: Mapping[str, ExportedProgram],
    metadata: Mapping[str, int],
    path: Path,
    *,
    without: Collection[str] = (),
    passes: bool = False,
    taps: bool = False,
) -> None:
    """Lower `programs` to the MLX delegate and write them to `path`, whole or not at all.

    `programs` and constant methods (`metadata`) are by name. The names of instructions go beside
    the file (see `node_names`). `without` are the corrections to leave out, which puts upstream's
    stock lowering back. `passes` runs upstream's default passes first, as the exporters of other
    models do; Voxtral's own does not. `taps` says that upstream's taps are in the programs: what
    they name becomes an output (`harness.export.taps`).
    """
    enable_mlx_exporter()
    with quiet():
        from executorch.backends.mlx import MLXPartitioner
        from executorch.backends.mlx.passes import get_default_passes
        from executorch.exir import (
            EdgeCompileConfig,
            ExecutorchBackendConfig,
            to_edge_transform_and_lower,
        )
        from executorch.exir.passes import MemoryPlanningPass

        hidden = without_sources(programs.values())
        with hidden, applied(without), recording() as names, listed_once():
            edge = to_edge_transform_and_lower(
                dict(programs),
                transform_passes=get_default_passes() if passes else None,
                partitioner={name: [MLXPartitioner()] for name in programs},
                compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
                constant_methods=dict(metadata),
            )
            if taps:
                from executorch.devtools.intermediate_output_tap import strip_taps_

                strip_taps_(edge)
            program = edge.to_executorch(
                ExecutorchBackendConfig(
                    extract_delegate_segments=True,
                    # as upstream's exporter: the runner brings its own input buffers
                    memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False),
                )
            )
        with replace_file(path) as scratch, scratch.open("wb") as file:
            program.write_to_file(file)
        names.write(program, programs, path)
