"""The place that is named: of programs that do not run, and of modules that are not eager's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from fixtures.exports import Line as Parity
from harness.budget import COMMITTED
from harness.compare import Status, Verdict
from harness.export.lower import lower_to_mlx
from harness.export.programs import PROGRAMS
from harness.localize.explain import explained, localize
from harness.localize.find import Line
from harness.methods import select_methods
from harness.parity import Request
from harness.parity.artifacts import Artifacts
from harness.parity.check import Checked
from harness.report.finding import Finding
from tests.mutate.pte import opened


def on_path(tiny_line: Parity, name: str, path: Path) -> Line:
    (method,) = select_methods([name])
    files = dict(tiny_line.artifacts.files)
    made = dataclasses.replace(files[method.artifact].made, path=path)
    files[method.artifact] = dataclasses.replace(files[method.artifact], made=made)
    parts = (tiny_line.plan, tiny_line.evidence, Artifacts(files), tiny_line.models, COMMITTED)
    return Line(*parts)


def with_node(
    tiny_line: Parity, name: str, kind: str, change: Callable[[Any], Any], folder: Path
) -> Line:
    """A file whose first node of a kind is another one."""
    (method,) = select_methods([name])
    pte = opened(tiny_line.artifacts.paths[method.artifact])
    graph = pte.graphs[method.entry]
    place = next(i for i, node in enumerate(graph.nodes) if type(node).__name__ == kind)
    changed = graph.with_node(place, change(graph.nodes[place]))
    path = pte.with_graph(method.entry, changed).save(folder / method.artifact)
    return on_path(tiny_line, name, path)


def first(where: Line, name: str) -> Finding:
    (method,) = select_methods([name])
    (found,) = localize(Request(), where, method, links=("exact",))
    return found.findings[0]


@pytest.mark.parametrize(
    ("kind", "change", "node"),
    [
        # The rows that are looked up do not exist: the node before is wrong, not the look-up.
        ("AddNode", lambda n: dataclasses.replace(n, a=n.b), "add"),
        # The same numbers in another shape, which the plan refuses behind the delegate.
        ("SumNode", lambda n: dataclasses.replace(n, keepdims=not n.keepdims), "sum_1"),
    ],
)
def test_the_node_of_a_program_that_does_not_run(
    tiny_line: Parity, tmp_path: Path, kind: str, change: Callable[[Any], Any], node: str
) -> None:
    where = with_node(tiny_line, "audio_token_embedding", kind, change, tmp_path)
    found = first(where, "audio_token_embedding")
    assert found.place.node == node
    assert found.place.op == kind
    assert found.owner == "the lowering"


def test_the_step_that_refuses_where_all_before_it_are_right(
    tiny_line: Parity, tmp_path: Path
) -> None:
    where = with_node(
        tiny_line, "semantic_head", "AddmmNode", lambda n: dataclasses.replace(n, mat2=n.mat1),
        tmp_path,
    )  # fmt: skip
    assert first(where, "semantic_head").place.node == "linear"


def test_the_node_that_writes_into_a_part_of_a_tensor(tiny_line: Parity, tmp_path: Path) -> None:
    where = with_node(
        tiny_line, "semantic_head", "WhereNode", lambda n: dataclasses.replace(n, x=n.y, y=n.x),
        tmp_path,
    )  # fmt: skip
    found = first(where, "semantic_head")
    assert found.place.node == "fill_"
    assert found.place.target == "aten.fill_.Tensor"


def exported(tiny_line: Parity, name: str, folder: Path) -> Line:
    (method,) = select_methods([name])
    path = folder / method.artifact
    lower_to_mlx({method.entry: PROGRAMS[name](tiny_line.model, tiny_line.sizes)}, {}, path)
    return on_path(tiny_line, name, path)


def test_what_a_module_computes_between_its_leaves_is_given_to_it(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tiny_line.model.get_submodule("flow_head.layers.0.feed_forward")
    monkeypatch.setattr(
        own, "forward", lambda x: own.w2(F.gelu(own.w1(x)) * own.w3(x)), raising=False
    )
    found = first(exported(tiny_line, "predict_velocity", tmp_path), "predict_velocity")
    assert found.place.module == "flow_head.layers.0.feed_forward"
    assert found.owner == "our wrapper of the module"


def test_what_comes_behind_all_modules_is_given_to_the_last(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tiny_line.model.get_submodule("audio_token_embedding")
    forward = own.forward

    def louder(codes: torch.Tensor) -> Any:
        return forward(codes) * 1.005

    monkeypatch.setattr(own, "forward", louder, raising=False)
    found = first(exported(tiny_line, "audio_token_embedding", tmp_path), "audio_token_embedding")
    assert found.place.module == "audio_token_embedding"


def test_a_verdict_on_a_program_that_does_not_run_names_the_node_once(
    tiny_line: Parity, tmp_path: Path
) -> None:
    where = with_node(
        tiny_line, "audio_token_embedding", "AddNode",
        lambda n: dataclasses.replace(n, a=n.b), tmp_path,
    )  # fmt: skip
    red = [
        Verdict("audio_token_embedding", case, "execution", Status.FAIL, "does not run")
        for case in ("speech", "another")
    ]
    plan, evidence, observation = where.plan, where.evidence, tiny_line.observation
    checked = Checked(plan, evidence, where.artifacts, observation, tuple(red))
    told = explained(Request(), checked, tiny_line.models)
    assert [verdict.metrics.get("node") for verdict in told.verdicts] == ["add", None]
    assert [found.findings[0].place.node for found in told.findings] == ["add"]
