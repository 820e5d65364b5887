"""A report for upstream of each distinct bug: one file of Markdown, ready to be sent."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from harness.export.corrections import corrections
from harness.export.lower import lower_to_mlx
from harness.files import replace_file
from harness.pte.coverage import mlx_graphs
from harness.pte.program import read_program
from harness.upstream import package_directory, quiet
from harness.zoo.bugs import Bug
from harness.zoo.program import Program
from harness.zoo.sweep import Sweep
from harness.zoo.trial import Result, Verdict, tried

__all__ = ["emitted", "report", "script", "showing", "write_reports"]

_MOST_PROGRAMS = 12

_ELSEWHERE = {
    "lossy-casts": ("executorch.backends.mlx.passes", "CollapseDtypeConversionPass"),
    "false-norms": ("executorch.backends.mlx.passes", "FuseRMSNormPass"),
    "shared-weight": ("executorch.backends.mlx.ops", "_emit_channel_last_weight"),
    "scalar-type": (
        "executorch.backends.mlx.builder.program_builder",
        "MLXProgramBuilder.make_or_get_constant",
    ),
}
"""Corrections of what is no operator's handler → module and name of what they mend."""

_TITLES = {
    Verdict.WRONG: "computes something else than eager",
    Verdict.CANNOT_RUN: "lowers fully and then cannot run",
    Verdict.NOT_LOWERED: "raises an error in lowering",
}

_SCRIPT = """import torch
from executorch.backends.mlx import MLXPartitioner, passes
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.runtime import Runtime
class Model(torch.nn.Module):
{weights}    def forward(self, {arguments}): return {call}
{model}torch.manual_seed(0)
inputs = ({inputs},)
kept = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
edge = to_edge_transform_and_lower(torch.export.export(model, inputs), compile_config=kept,
    transform_passes=passes.get_default_passes(), partitioner=[MLXPartitioner()])
open("repro.pte", "wb").write(edge.to_executorch().buffer)
print(torch.set_printoptions(9) or "eager:", model(*inputs))
print("MLX:", *Runtime.get().load_program("repro.pte").load_method("forward").execute(inputs))
"""


_SEEDED = "torch.manual_seed(1)\nmodel = Model()\n"


def write_reports(
    found: list[Bug],
    sweep: Sweep,
    directory: Path,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Bug, Path | None]]:
    """Write ``NAME.md`` for each bug; None in the place of one that cannot be seen.

    It is not there any more, or only float64 tells, where a report needs what everybody sees.

    What is written is seen again first: the program is lowered as upstream does, and run. Of a
    bug's programs, the first is shown whose numbers tell in their own type.
    """
    for bug in found:
        progress(f"seeing {bug.name} again")
        now = showing(bug)
        if now is None:
            yield bug, None
            continue
        path = directory / f"{bug.name}.md"
        with replace_file(path) as scratch:
            scratch.write_text(report(bug, now, sweep.versions), encoding="utf-8")
        yield bug, path


def showing(bug: Bug) -> Result | None:
    """The first of a bug's programs, or of a larger one, whose numbers tell in their own type."""
    found = [result.program for result in bug.results[:_MOST_PROGRAMS]]
    first = found[0]
    larger = replace(first, inputs=tuple(t.replace("(2, 3)", "(16, 16)") for t in first.inputs))
    seen = map(tried, (*found, larger))
    return next((now for now in seen if now.stock.shows), None)


def script(program: Program) -> str:
    """The program for the stock wheel on Apple Silicon; under 20 lines."""
    repro = program.repro
    return _SCRIPT.format(
        weights=repro.parameters.replace("\n\n", "\n"), arguments=repro.arguments,
        model=_SEEDED if repro.weights else "model = Model()\n",
        call=repro.call, inputs=", ".join(repro.inputs),
    )  # fmt: skip


def report(bug: Bug, now: Result, versions: dict[str, str]) -> str:
    """The whole text.

    Parameters
    ----------
    bug
        What it is about.
    now
        What came of its first program, just now.
    versions
        Of the packages.
    """
    return "\n".join(_lines(bug, now, versions)) + "\n"


def _lines(bug: Bug, now: Result, versions: dict[str, str]) -> Iterator[str]:
    program = now.program
    name = program.call.replace("torch.ops.", "")
    yield f"# MLX: `{name}` {_TITLES[now.stock.verdict]}\n"
    told = ", ".join(f"{package} {version}" for package, version in versions.items())
    yield f"Versions: {told}.\n"
    yield "## Expected and got\n"
    yield f"{now.stock.verdict}: {now.stock.detail}\n"
    yield (
        "This was seen on an interpreter of the delegate's payload, on the CPU, beside eager "
        "PyTorch with the same inputs as in the script.\n"
    )
    yield "## To reproduce\n"
    install = f"executorch=={versions['executorch']}"
    torch_version = versions["torch"].partition("+")[0]
    yield f"On Apple Silicon, `pip install {install} torch=={torch_version}`:\n"
    yield f"```python\n{script(program)}```\n"
    if now.stock.verdict is not Verdict.NOT_LOWERED:
        yield "The delegate's instructions show it without running them:\n"
        yield f"```\n{emitted(program)}\n```\n"
    ops = program.target.split(".")[1] if program.target.startswith("aten.") else program.target
    yield (
        "On Linux, whose wheel has no MLX runtime, voxtral-parity shows the number: "
        f"`voxtral-parity zoo --ops {ops} --markdown {bug.name}-seen.md`.\n"
    )
    yield "## Where\n"
    yield from (f"- {place}" for place in _places(now))
    yield "\n## Suggested fix\n"
    yield _fix(now)
    if len(bug.results) > 1:
        yield "\n## The same with\n"
        for result in bug.results[1:_MOST_PROGRAMS]:
            inputs = ", ".join(result.program.inputs)
            yield f"- `{result.program.call}` with {inputs}: {result.stock.detail}"
        if len(bug.results) > _MOST_PROGRAMS:
            yield f"- {len(bug.results) - _MOST_PROGRAMS} more"
    yield "\n## Test case\n"
    yield f"```python\n{program.repro.test_case().strip()}\n```"


def emitted(program: Program) -> str:
    """The delegates' instructions in the stock lowering, a line each."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        path = Path(folder) / "program.pte"
        with quiet(), torch.no_grad():
            exported = torch.export.export(program.module(), program.tensors())
            lower_to_mlx({"forward": exported}, {}, path, without=tuple(corrections()), passes=True)
        with closing(read_program(path)) as opened:
            for graph in mlx_graphs(opened, opened.plans["forward"]).values():
                lines += [_written(node) for node in graph.chains[graph.main]]
    return "\n".join(lines) or "(none: no delegate was made)"


def _written(node: Any) -> str:
    values = ((field.name, getattr(node, field.name)) for field in fields(node))
    given = (f"{name}={_short(value)}" for name, value in values if value is not None)
    return f"{type(node).__name__}({', '.join(given)})"


def _short(value: Any) -> str:
    kind = type(value).__name__
    if kind in ("Tid", "Vid"):
        number = next(getattr(value, field.name) for field in fields(value))
        return f"{'t' if kind == 'Tid' else 'v'}{number}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    return repr(value)


def _places(now: Result) -> list[str]:
    """Files and lines of the installed executorch that make it."""
    if now.cure in _ELSEWHERE:
        module, name = _ELSEWHERE[now.cure]
        return [_place(module, name)]
    from executorch.backends.mlx.builder.op_registry import REGISTRY

    with quiet(), torch.no_grad():
        exported = torch.export.export(now.program.module(), now.program.tensors())
        graph = exported.run_decompositions({}).graph
    targets = [node.target for node in (*exported.graph.nodes, *graph.nodes)]
    own = [t for t in targets if isinstance(t, torch._ops.OpOverload)]
    found = []
    for target in dict.fromkeys(t for t in own if t in REGISTRY._handlers):
        handler = getattr(REGISTRY._handlers[target], "handler", REGISTRY._handlers[target])
        if callable(handler) and hasattr(handler, "__code__"):
            found.append(f"{target}: {_located(handler)}")
    return found or ["the partitioner: no handler was called"]


def _place(module: str, name: str) -> str:
    import importlib

    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return _located(thing)


def _located(thing: Any) -> str:
    file = Path(inspect.getsourcefile(thing) or "")
    root = package_directory("executorch").parent
    line = inspect.getsourcelines(thing)[1]
    shown = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
    return f"`{shown}`, line {line}, `{thing.__qualname__}`"


def _fix(now: Result) -> str:
    if now.cure:
        return (
            f"What is wrong: {corrections()[now.cure]}. The correction `{now.cure}` of "
            "voxtral-parity, harness/export/corrections.py, mends it: with it alone the program "
            f"is {now.corrected.verdict}."
        )
    if now.stock.verdict is Verdict.WRONG:
        return (
            "Let the handler read the arguments that the call gives, or raise an error for those "
            "that it does not support, so that the partitioner leaves the operator outside."
        )
    return (
        "Let the handler make what the operator means here, or raise an error in lowering, so that "
        "the partitioner leaves the operator to the CPU kernels and the program can run."
    )
