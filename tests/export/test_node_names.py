"""The names that an export leaves beside its files stand for what eager computes there."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fixtures.exports import Line
from harness.export.programs import PROGRAMS
from harness.pte.inspection import read_contents
from harness.pte.names import names_file, read_names
from harness.pte.program import read_program
from harness.runtime.portable import PortableExecutor
from harness.upstream import quiet


def test_every_method_of_an_artifact_has_names(tiny_line: Line) -> None:
    path = tiny_line.artifact("model.pte").path
    content = json.loads(names_file(path).read_text())
    assert content["schema"] == 3
    assert content["sha256"] == tiny_line.artifact("model.pte").sha256
    assert set(content["methods"]) == {
        "token_embedding",
        "audio_token_embedding",
        "text_decoder",
        "semantic_head",
        "predict_velocity",
    }


def test_every_instruction_says_what_it_is_for(tiny_line: Line) -> None:
    contents = read_contents(tiny_line.artifact("codec_decoder.pte").path)
    assert contents.intact is True
    (codec,) = contents.methods
    chains = codec.delegates[0].chains
    assert chains is not None
    named = [node for node in chains["main"] if node.origin is not None]
    assert len(named) == len(chains["main"])
    assert {node.module for node in named if node.module} > {"codec_decoder"}


def test_every_named_node_says_which_line_of_the_model_it_is(tiny_line: Line) -> None:
    with closing(read_program(tiny_line.artifact("model.pte").path)) as program:
        names = read_names(program)["predict_velocity"]
    assert {origin.node for origin in names.origins.values() if origin.node} <= set(names.nodes)
    silu = names.nodes["silu"]
    assert silu.target == "aten.silu.default"
    assert "F.silu" in silu.source
    assert silu.module == "flow_head.layers.0.feed_forward"
    assert silu.shapes[0] == silu.shapes[-1]


def test_names_of_an_older_export_are_read_without_its_nodes(
    tiny_line: Line, tmp_path: Path
) -> None:
    path = tmp_path / "model.pte"
    path.symlink_to(tiny_line.artifact("model.pte").path)
    content = json.loads(names_file(path.resolve()).read_text())
    for method in content["methods"].values():
        del method["nodes"]
    names_file(path).write_text(json.dumps({**content, "schema": 2}))
    with closing(read_program(path)) as program:
        names = read_names(program)["predict_velocity"]
    assert names.nodes == {}
    assert names.types


def test_the_values_of_a_real_method_are_eagers_own(tiny_line: Line, tiny_model: Any) -> None:
    with quiet():
        program = PROGRAMS["predict_velocity"](tiny_model, tiny_line.sizes)
    executor = PortableExecutor()
    executor.load(tiny_line.artifact("model.pte").path)
    draw = np.random.default_rng(3)
    x_t, hidden = (
        draw.standard_normal(spec.shape).astype(np.float32)
        for spec in executor.inputs("predict_velocity")
        if spec.dtype == "float32"
    )
    inputs = [x_t, np.array([2]), hidden]
    expected = _values(program, inputs)
    probe = executor.probe("predict_velocity")
    values = probe.values(inputs, probe.names())
    assert len(values) > 60
    for name, value in values.items():
        eager = expected[str(name)].numpy()
        assert value.shape == eager.shape, name
        # Three layers of sums of at most 128 float32 terms.
        assert np.abs(value - eager).max() <= 2e-5 * max(1.0, np.abs(eager).max()), name


def _values(program: torch.export.ExportedProgram, inputs: list[np.ndarray]) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            seen[n.name] = super().run_node(n)
            return seen[n.name]

    constants = {**program.state_dict, **program.constants}
    given = iter(torch.from_numpy(array) for array in inputs)
    arguments = [
        next(given) if spec.kind.name == "USER_INPUT" else constants[spec.target]
        for spec in program.graph_signature.input_specs
    ]
    with torch.no_grad():
        Recorder(program.graph_module).run(*arguments)
    return seen
