"""Programs of a model by transformers' own exporter, lowered to MLX as it does."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument
from torch.utils import _pytree as pytree

from harness.anymodel.model import ENTRY
from harness.errors import InputError, in_a_sentence
from harness.export.corrections import applied
from harness.export.node_names import recording
from harness.export.patching import listed_once, patched
from harness.export.taps import copied
from harness.files import replace_file
from harness.upstream import enable_mlx_exporter, quiet

__all__ = [
    "Exported",
    "NotExportedError",
    "NotLoweredError",
    "export",
    "phase_of",
    "whole_caches",
]


class NotExportedError(Exception):
    """The exporter does not get as far as the lowering to MLX, or would fail without MLX."""


class NotLoweredError(Exception):
    """The program was exported, and its lowering to MLX fails."""


@dataclass(frozen=True)
class Exported:
    """What the exporter lowered.

    Attributes
    ----------
    program
        The program as it went to the lowering, called with tensors alone.
    kwargs
        What it was traced with.
    kernels
        Operators that were left to ExecuTorch's CPU kernels.
    """

    program: ExportedProgram
    kwargs: Mapping[str, Any]
    kernels: tuple[str, ...]


def phase_of(
    model: nn.Module, inputs: Mapping[str, Any], phase: str
) -> tuple[nn.Module, dict[str, Any]]:
    """The module that one phase calls, and its arguments.

    Those of a generation are what transformers itself calls the model with, caches included.
    """
    if phase == "forward":
        return model, dict(inputs)
    from transformers.exporters.exporter_dynamo import register_cache_pytrees_for_model
    from transformers.exporters.utils import decompose_for_generation

    # The exporter registers caches only after it made its inputs contiguous, so that the first
    # export of a cache that was cut fails in each process, and later ones do not.
    register_cache_pytrees_for_model(model)
    try:
        with torch.no_grad(), quiet(), _hidden():
            parts = decompose_for_generation(model, dict(inputs))
    except Exception as error:
        raise NotExportedError(in_a_sentence(error.__cause__ or error)) from error
    if phase not in parts:
        raise NotExportedError(f"a generation has the parts {', '.join(parts)}, and no {phase}")
    module, kwargs = parts[phase]
    for each in (module, model):
        each.__dict__.pop("forward", None)  # left behind by the capture, and bound to another
    return module, kwargs


def export(
    module: nn.Module, kwargs: Mapping[str, Any], path: Path, without: Collection[str] = ()
) -> Exported:
    """Export a module with transformers, as its users do, and write the file to `path`.

    Parameters
    ----------
    module, kwargs
        What is called, and with what.
    path
        The file; the names of its instructions go beside it.
    without
        Corrections of the lowering to leave out.

    Raises
    ------
    NotExportedError, NotLoweredError
        Saying why.
    """
    enable_mlx_exporter()
    with quiet():
        from transformers.exporters import exporter_executorch as theirs
    seen: list[ExportedProgram] = []
    stock = theirs.to_edge_transform_and_lower

    def noting(program: ExportedProgram, **options: Any) -> Any:
        seen.append(copied(program))
        return stock(program, **options)

    config = theirs.ExecutorchConfig(backend="mlx")
    arguments = copy.deepcopy(dict(kwargs))
    try:
        with (
            quiet(), _hidden(), applied(without), recording() as names, listed_once(),
            patched(theirs, "to_edge_transform_and_lower", noting),
        ):  # fmt: skip
            manager = theirs.ExecutorchExporter().export(module, arguments, config).program
    except Exception as error:
        if not seen:
            raise NotExportedError(in_a_sentence(error)) from error
        alone = _failure(lambda: _lowered_without_mlx(theirs, seen[0]))
        kind = NotLoweredError if alone is None else NotExportedError
        raise kind(in_a_sentence(error)) from error
    with replace_file(path) as scratch, scratch.open("wb") as file:
        manager.write_to_file(file)
    names.write(manager, {ENTRY: seen[0]}, path)
    operators = (op for plan in manager.executorch_program.execution_plan for op in plan.operators)
    kernels = tuple(f"{op.name}.{op.overload}" if op.overload else op.name for op in operators)
    return Exported(_flat(seen[0]), seen[0].example_inputs[1], kernels)


@contextmanager
def whole_caches() -> Iterator[None]:
    """Let sliding caches keep every position, as the exporter's programs do."""
    from transformers import cache_utils

    sliding, whole = cache_utils.DynamicSlidingWindowLayer, cache_utils.DynamicLayer
    with ExitStack() as stack:
        for name in ("update", "get_mask_sizes", "get_seq_length"):
            stack.enter_context(patched(sliding, name, getattr(whole, name)))
        yield


def _hidden() -> AbstractContextManager[Any]:
    """Hold back what torch prints of a graph that it cannot export, beside the error it raises."""
    return redirect_stderr(io.StringIO())


def _lowered_without_mlx(theirs: Any, program: ExportedProgram) -> None:
    config = theirs._get_edge_compile_config("mlx")
    theirs.to_edge_transform_and_lower(copied(program), compile_config=config).to_executorch()


def _failure(work: Callable[[], None]) -> Exception | None:
    try:
        with quiet():
            work()
    except Exception as error:
        return error
    return None


def _flat(program: ExportedProgram) -> ExportedProgram:
    """The program as a function of tensors, which returns a tuple of them."""
    signature = program.module_call_graph[0].signature
    args, kwargs = program.example_inputs
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if leaf is not None]
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        constants = [name for name, value in kwargs.items() if not isinstance(value, Tensor)]
        raise InputError(f"the program takes arguments that are no tensors: {', '.join(constants)}")
    several = pytree.tree_structure((tuple(leaves), {}))
    made = pytree.tree_structure(tuple(range(signature.out_spec.num_leaves)))
    own = replace(signature, in_spec=several, out_spec=made, forward_arg_names=None)
    kept = _without_nones(program)
    kept._module_call_graph = [
        replace(program.module_call_graph[0], signature=own), *program.module_call_graph[1:],
    ]  # fmt: skip
    return kept


def _without_nones(program: ExportedProgram) -> ExportedProgram:
    """A program without the inputs that can only be None, which nothing in it uses."""
    kept = copied(program)
    specs, graph = kept.graph_signature.input_specs, kept.graph_module.graph
    nones = {
        spec.arg.name
        for spec in specs
        if isinstance(spec.arg, ConstantArgument) and spec.arg.value is None
    }
    for node in graph.find_nodes(op="placeholder"):
        if node.name in nones:
            graph.erase_node(node)
    specs[:] = [spec for spec in specs if spec.arg.name not in nones]
    kept.graph_module.recompile()
    return kept
