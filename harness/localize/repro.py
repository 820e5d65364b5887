"""The smallest module that still goes wrong, as a script and as a test case for upstream.

The script needs nothing but torch and executorch on Apple Silicon, whose wheel carries the MLX
runtime. What is written was seen to fail here first: the same module, lowered the same way, run in
float64 beside itself.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from harness.arrays import Array, from_torch
from harness.compare.metrics import difference
from harness.errors import HarnessError
from harness.export.graph_nodes import computing
from harness.export.lower import lower_to_mlx
from harness.files import replace_file
from harness.localize.find import Line
from harness.localize.graph import Graph
from harness.methods import select_methods
from harness.report.finding import Finding, Localized
from harness.runtime.exact import ExactExecutor
from harness.upstream import quiet

__all__ = ["Repro", "with_repros", "write_repros"]

_MOST_WRITTEN = 64
"""Elements of an integer tensor that a script spells out."""

_MOST_TRIES = 24


@dataclass(frozen=True)
class Repro:
    """One operator on inputs of its own.

    Attributes
    ----------
    name, call
        Of the node, and the operator's call in Python, its tensors being a, b, c, …
    inputs
        Python text of each tensor.
    weights
        The same of parameters, which the call names self.p, self.q, ….
    """

    name: str
    call: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...] = ()

    @property
    def arguments(self) -> str:
        """The tensors' names."""
        return ", ".join("abcdefgh"[: len(self.inputs)])

    def tensors(self) -> tuple[Any, ...]:
        """The inputs, the same each time: tensors, and what else is written there."""
        torch.manual_seed(0)
        return tuple(eval(text, {"torch": torch}) for text in self.inputs)

    def module(self) -> nn.Module:
        """The operator as a module."""
        source = f"lambda self, {self.arguments}: {self.call}"
        made: Any = type("Model", (nn.Module,), {"forward": eval(source, {"torch": torch})})()
        torch.manual_seed(1)
        for name, text in zip("pqrstu", self.weights, strict=False):
            weight = nn.Parameter(eval(text, {"torch": torch}), requires_grad=False)
            made.register_parameter(name, weight)
        return made

    @property
    def parameters(self) -> str:
        """The model's ``__init__``, if it has parameters."""
        if not self.weights:
            return ""
        lines = ["    def __init__(self):", "        super().__init__()"]
        for name, text in zip("pqrstu", self.weights, strict=False):
            lines.append(f"        self.{name} = torch.nn.Parameter({text}, requires_grad=False)")
        return "\n".join(lines) + "\n\n"

    def script(self) -> str:
        """A program that exits 1 where MLX and eager differ; under 40 lines."""
        versions = " ".join(
            f"{name}=={importlib.metadata.version(name).partition('+')[0]}"
            for name in ("torch", "executorch")
        )
        return _SCRIPT.format(
            versions=versions, name=self.name, arguments=self.arguments, call=self.call,
            inputs="".join(f"    {text},\n" for text in self.inputs), weights=self.parameters,
        )  # fmt: skip

    def test_case(self) -> str:
        """A case for ``executorch/backends/mlx/test/test_ops.py``."""
        title = "".join(part.title() for part in self.name.split("_") if part)
        inputs = ", ".join(self.inputs)
        return _TEST_CASE.format(
            title=title, name=self.name, arguments=self.arguments, call=self.call,
            inputs=f"{inputs},", weights=self.parameters,
        )  # fmt: skip

    def fails(self, without: Sequence[str]) -> bool:
        """Whether it goes wrong where these corrections of the lowering are left out."""
        inputs, module = self.tensors(), self.module()
        with tempfile.TemporaryDirectory() as folder, closing(ExactExecutor()) as executor:
            path = Path(folder) / "repro.pte"
            try:
                with quiet(), torch.no_grad():
                    program = torch.export.export(module, inputs)
                    meant = module(*(x.double() if x.is_floating_point() else x for x in inputs))
                lower_to_mlx({"forward": program}, {}, path, without=without)
                executor.load(path)
                (made,) = executor.call("forward", [from_torch(x).copy() for x in inputs])
            except HarnessError:
                return True  # lowered, and refused when it runs
            except Exception:  # whatever torch says of sizes that do not fit together
                return False
        return difference(made, np.asarray(meant))[0] > 1e-6


def write_repros(
    graph: Graph,
    call: Sequence[Array],
    findings: Sequence[Finding],
    without: Sequence[str],
    directory: Path,
) -> Iterator[Path]:
    """Write a script and a test case for each wrong node that an operator alone shows.

    Parameters
    ----------
    graph, call
        What was exported, and inputs of it.
    findings
        What was localised.
    without
        Corrections of the lowering that were left out.
    directory
        Receives ``repro_NODE.py`` and ``op_test_NODE.py``.
    """
    for repro in _repros(graph, call, findings, without).values():
        for prefix, text in (("repro", repro.script()), ("op_test", repro.test_case())):
            path = directory / f"{prefix}_{repro.name}.py"
            with replace_file(path) as scratch:
                scratch.write_text(text, encoding="utf-8")
            yield path


def with_repros(line: Line, found: Localized) -> Localized:
    """The same; each finding whose operator alone shows it has its script."""
    (method,) = select_methods((found.method,))
    line.progress(f"making minimal scripts of what is wrong in {method.name}")
    call = line.evidence.cases[method.name][0].case.calls[0]
    try:
        made = _repros(line.graph(method), call, found.findings, line.plan.without)
    except Exception:  # an operator that no script can spell; what was found stands without one
        return found
    findings = [
        replace(finding, repro=made[number].script()) if number in made else finding
        for number, finding in enumerate(found.findings)
    ]
    return replace(found, findings=tuple(findings))


def _repros(
    graph: Graph, call: Sequence[Array], findings: Sequence[Finding], without: Sequence[str]
) -> dict[int, Repro]:
    """By the finding's number: its operator alone on a small input, where that fails too."""
    if not any(finding.place.node for finding in findings):
        return {}
    graph.call(call)
    found = {}
    for number, finding in enumerate(findings):
        repro = _of_node(graph, finding)
        if repro is not None and repro.fails(without):
            found[number] = _smaller(repro, without)
    return found


def _of_node(graph: Graph, finding: Finding) -> Repro | None:
    """The node's operator on inputs like its own; None for what is no operator."""
    found = graph.nodes.get(finding.place.node)
    if found is None:
        return None
    node, result = computing(found)
    if not hasattr(node.target, "_schema"):
        return None
    inputs: list[str] = []

    def text(argument: Any) -> str:
        if isinstance(argument, Node):
            value = graph.value(argument)
            if not isinstance(value, Tensor):
                return repr(value)
            inputs.append(_input(value))
            return "abcdefgh"[len(inputs) - 1]
        if isinstance(argument, list | tuple):
            inner = ", ".join(map(text, argument))
            return f"[{inner}]"
        return repr(argument)

    arguments = [text(argument) for argument in node.args]
    arguments += [f"{key}={text(value)}" for key, value in node.kwargs.items()]
    if not 0 < len(inputs) <= len("abcdefgh"):
        return None
    call = f"torch.ops.{node.target}({', '.join(arguments)})"
    if result is not None:
        call += f"[{result}]"
    return Repro(node.name, call, tuple(inputs))


def _input(value: Tensor) -> str:
    shape = ", ".join(map(str, value.shape))
    if value.is_floating_point():
        return f"torch.randn({shape})" if shape else f"torch.tensor({value.item()!r})"
    if value.numel() <= _MOST_WRITTEN or value.dtype == torch.bool:
        return f"torch.tensor({value.tolist()})"
    return f"torch.randint({int(value.min())}, {int(value.max()) + 1}, ({shape},))"


def _smaller(repro: Repro, without: Sequence[str]) -> Repro:
    """The same on a smaller input, if it has one of random numbers and still goes wrong."""
    if len(repro.inputs) != 1 or not repro.inputs[0].startswith("torch.randn("):
        return repro
    sizes = [int(size) for size in repro.inputs[0][len("torch.randn(") : -1].split(", ") if size]
    options = [sorted({min(size, few) for few in (2, 4, 8)}) for size in sizes]
    tried = sorted(product(*options), key=lambda shape: int(np.prod(shape)))
    for shape in tried[:_MOST_TRIES]:
        smaller = replace(repro, inputs=(f"torch.randn({', '.join(map(str, shape))})",))
        if smaller.fails(without):
            return smaller
    return repro


_SCRIPT = '''"""{name}, lowered to MLX, differs from eager PyTorch. Needs Apple Silicon.

python -m pip install {versions}
"""

import torch
from executorch.backends.mlx import MLXPartitioner
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.runtime import Runtime


class Model(torch.nn.Module):
{weights}    def forward(self, {arguments}):
        return {call}


torch.manual_seed(0)
inputs = (
{inputs})
model = Model().eval()
lowered = to_edge_transform_and_lower(
    torch.export.export(model, inputs),
    partitioner=[MLXPartitioner()],
    compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
)
with open("repro.pte", "wb") as file:
    file.write(lowered.to_executorch().buffer)
(made,) = Runtime.get().load_program("repro.pte").load_method("forward").execute(inputs)
meant = model(*inputs)
print("eager:", meant.flatten()[:8].tolist())
print("MLX:  ", made.flatten()[:8].tolist())
print("greatest difference:", (made.double() - meant.double()).abs().max().item())
raise SystemExit(not torch.allclose(made.float(), meant.float(), rtol=1e-4, atol=1e-5))
'''

_TEST_CASE = '''"""A case for executorch/backends/mlx/test/test_ops.py."""

import torch

from .test_utils import OpTestCase, register_test


class {title}Model(torch.nn.Module):
{weights}    def forward(self, {arguments}):
        return {call}


@register_test
class {title}Test(OpTestCase):
    name = "{name}"

    @classmethod
    def get_test_configs(cls):
        return [cls()]

    def create_model(self):
        return {title}Model()

    def create_inputs(self):
        return ({inputs})
'''
