"""The names that an export leaves beside its files stand for what eager computes there."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from fixtures.exports import Line
from harness.export.programs import PROGRAMS
from harness.pte.inspection import read_contents
from harness.pte.names import names_file
from harness.runtime.portable import PortableExecutor
from harness.upstream import quiet


def test_every_method_of_an_artifact_has_names(tiny_line: Line) -> None:
    path = tiny_line.artifact("model.pte").path
    content = json.loads(names_file(path).read_text())
    assert content["schema"] == 2
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
