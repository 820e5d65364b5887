"""A model in the precision asked for, and the program that `torch.export` makes of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import SymBoolArgument, SymFloatArgument, SymIntArgument
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from harness.anymodel.flat import Flat, arranged, fixed_shapes, flat_shapes, named_shapes, tree_of
from harness.anymodel.keywords import as_in_file
from harness.anymodel.model import Call, Model
from harness.anymodel.state import changes, unseen
from harness.errors import InputError, in_a_sentence
from harness.localize.graph import with_own_buffers
from harness.methods.precision import PRECISIONS, Precision, parse_precision
from harness.reference.quantize import Layer, quantized_weight
from harness.upstream import quiet

__all__ = ["Traced", "trace"]

_GROUPS = (128, 64, 32)
"""Values of an embedding that share a scale: the first that divides its width."""


@dataclass(frozen=True)
class Traced:
    """A model as it is judged.

    Attributes
    ----------
    model, precision
        What was asked; the precision's name, or the type that most weights have.
    flat
        The module in that precision.
    cases
        The calls of each case, in that precision, each as the tensors that the program takes. The
        example is called twice where a call changes buffers, and no case has a second one.
    calls
        The same as `Call`, for who makes a mask from one.
    program
        What `torch.export` made of `flat`.
    given
        Whether the program is the user's own.
    unseen
        Buffers that it changes, and no output shows.
    """

    model: Model
    precision: str
    flat: Flat
    cases: tuple[tuple[tuple[Tensor, ...], ...], ...]
    calls: tuple[tuple[Call, ...], ...]
    program: ExportedProgram
    given: bool
    unseen: tuple[str, ...] = ()

    def fresh(self) -> Flat:
        """The module in its first state; weights are shared, buffers are its own."""
        return with_own_buffers(self.flat)


def trace(model: Model, precision: str | None = None) -> Traced:
    """Export a model with `torch.export`.

    Parameters
    ----------
    model
        What to export.
    precision
        ``fp32``, ``bf16`` or ``bf16-4w8w``: weights and inputs are cast, and quantised, first.
        None: as they are.

    Raises
    ------
    InputError
        `torch.export` cannot trace the module, or the calls do not fit together.
    """
    wanted = None if precision is None else parse_precision(precision)
    given = isinstance(model.module, ExportedProgram)
    if given:
        _refuse_numbers_that_change(model)
        if not fixed_shapes(model.dynamic_shapes):
            raise InputError(
                f"{model.title} is a program, whose export decided which shapes may change: leave "
                "dynamic_shapes out, or pass the module itself"
            )
        sequences = model.sequences
        if not model.args and not model.kwargs and model.module.example_inputs is not None:
            args, kwargs = model.module.example_inputs
            sequences[0][0] = Call(*args, **kwargs)
        sequences = _in_order(model, sequences, model.module.call_spec.in_spec)
        flat = Flat(model.module.module(check_guards=False), sequences[0][0])
        name = _precision_of(flat)
        if wanted is not None and wanted.name != name:
            raise InputError(
                f"{model.title} is a program in {name} already; export the module in "
                f"{wanted.name}, or pass the module itself"
            )
        return _traced(model, name, flat, sequences, model.module)
    if not isinstance(model.module, nn.Module):
        raise InputError(
            "the module must be a torch.nn.Module or a torch.export.ExportedProgram (got "
            f"{type(model.module).__name__})"
        )
    if isinstance(model.module, torch.jit.ScriptModule):
        raise InputError(
            f"{model.title} is a TorchScript module, which torch.export does not take; pass the "
            "torch.nn.Module that it was made from"
        )
    first = Call(*model.args, **model.kwargs)
    shapes = named_shapes(model.module, first, model.dynamic_shapes)
    module, model = _copied(model), replace(model, dynamic_shapes=shapes)
    if model.pte is not None:
        first = as_in_file(first, Path(model.pte))
    sequences = _in_order(model, model.sequences, tree_of(first))
    if wanted is not None:
        dtype = getattr(torch, wanted.float_type)
        module = module.to(dtype)
        sequences = [[_cast(call, dtype) for call in calls] for calls in sequences]
        _quantize(module, wanted)
    flat = Flat(module, sequences[0][0])
    return _traced(
        model, _precision_of(flat) if wanted is None else wanted.name, flat, sequences, None
    )


def _refuse_numbers_that_change(model: Model) -> None:
    for spec in model.module.graph_signature.input_specs:
        if isinstance(spec.arg, SymIntArgument | SymFloatArgument | SymBoolArgument):
            raise InputError(
                f"{model.title} is a program whose input {spec.arg.name} is a number that each "
                "call may set, which cannot be judged; export it with a tensor, or a fixed number"
            )


def _copied(model: Model) -> nn.Module:
    try:
        with _Detaching():
            return copy.deepcopy(model.module).eval().requires_grad_(False)
    except Exception as error:
        raise InputError(
            f"{model.title} cannot be copied with copy.deepcopy, as it must be for each case to "
            f"begin in the same state: {in_a_sentence(error)}"
        ) from error


class _Detaching(TorchFunctionMode):
    """Lets `copy.deepcopy` take tensors that were computed from weights, as weight_norm's are."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))


def _in_order(model: Model, sequences: Sequence[Sequence[Call]], tree: Any) -> list[list[Call]]:
    """The calls with their keywords in the order of the program's inputs."""
    whose = "the export" if isinstance(model.module, ExportedProgram) else "the example call"
    found: list[list[Call]] = []
    for index, calls in enumerate(sequences):
        found.append([])
        for number, call in enumerate(calls):
            try:
                found[-1].append(arranged(call, tree))
            except ValueError as error:
                raise InputError(
                    f"call {number} of case {index} of {model.title} must have the arguments of "
                    f"{whose}: {in_a_sentence(error)}"
                ) from error
    return found


def _traced(
    model: Model,
    precision: str,
    flat: Flat,
    sequences: Sequence[Sequence[Call]],
    program: ExportedProgram | None,
) -> Traced:
    cases = tuple(
        tuple(flat.inputs(call, f"call {number} of case {index}") for number, call in enumerate(c))
        for index, c in enumerate(sequences)
    )
    calls = tuple(map(tuple, sequences))
    stateful, again = changes(flat, cases[0][0])
    if again and all(len(case) == 1 for case in cases):  # the second call shows the state
        cases, calls = (cases[0] * 2, *cases[1:]), (calls[0] * 2, *calls[1:])
    own = program if program is not None else _export(model, flat, sequences[0][0], cases[0][0])
    hidden = unseen(own) if stateful else ()
    return Traced(model, precision, flat, cases, calls, own, program is not None, hidden)


def _export(model: Model, flat: Flat, call: Call, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    shapes = flat_shapes(flat.model, call, model.dynamic_shapes)
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(
                with_own_buffers(flat), inputs, dynamic_shapes=shapes, strict=False
            )
    except (Exception, SystemExit) as error:
        _require_callable(model, flat, inputs)
        raise InputError(
            f"torch.export cannot trace {model.title}: {in_a_sentence(error)}"
        ) from error
    for node in program.graph.nodes:
        if "nn_module_stack" in node.meta:
            stack = node.meta["nn_module_stack"].items()
            node.meta["nn_module_stack"] = {k: (_inner(path), kind) for k, (path, kind) in stack}
    return program


def _require_callable(model: Model, flat: Flat, inputs: tuple[Tensor, ...]) -> None:
    """Raise if the module itself does not take the example call."""
    try:
        with torch.no_grad():
            with_own_buffers(flat)(*(tensor.clone() for tensor in inputs))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{model.title} itself fails: {in_a_sentence(error)}") from error


def _inner(path: str) -> str:
    """A module's path without that of the `Flat` around the model."""
    return path.removeprefix("model").removeprefix(".")


def _precision_of(module: nn.Module) -> str:
    """The name of the type that most of a module's weights have."""
    counts: Counter[torch.dtype] = Counter()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            counts[tensor.dtype] += tensor.numel()
    if not counts:
        return "fp32"
    most = counts.most_common(1)[0][0]
    names = {getattr(torch, p.float_type): p.name for p in PRECISIONS.values() if not p.quantized}
    return names.get(most, str(most).removeprefix("torch."))


def _cast(call: Call, dtype: torch.dtype) -> Call:
    def cast(leaf: Any) -> Any:
        return leaf.to(dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    args, kwargs = pytree.tree_map(cast, (tuple(call.args), dict(call.kwargs)))
    return Call(*args, **kwargs)


def _quantize(module: nn.Module, precision: Precision) -> None:
    """Quantise linears and embeddings in place, as far as groups divide their rows."""
    if not precision.quantized:
        return
    chosen = 0
    for fqn, part in list(module.named_modules()):
        if isinstance(part, nn.Linear) and precision.qlinear:
            kind, width, group = "linear", precision.qlinear, precision.qlinear_group_size
        elif isinstance(part, nn.Embedding) and precision.qembedding:
            columns = part.weight.shape[-1]
            group = next((g for g in _GROUPS if columns % g == 0), None)
            kind, width = "embedding", precision.qembedding
        else:
            continue
        if not group or part.weight.shape[-1] % group:
            continue
        weight = quantized_weight(part, Layer(fqn, kind, width, group))
        part.weight = nn.Parameter(weight, requires_grad=False)
        chosen += 1
    if not chosen:
        raise InputError(
            f"no layer can be quantised to {precision.name}: rows of linears must be a multiple of "
            f"{precision.qlinear_group_size}, those of embeddings of {_GROUPS[-1]}"
        )
