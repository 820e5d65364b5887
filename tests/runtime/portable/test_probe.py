"""What is seen inside a method is what eager computes there, and what is put in place counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import InputError
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.probe import Probe


def probed(program: Any, **options: Any) -> Probe:
    executor = PortableExecutor(**options)
    executor.load(program.path)
    return executor.probe("forward")


def eager(program: Any, inputs: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """Every value of the exported graph, node by node, as torch computes it."""
    loaded = torch.export.load(program.path.with_suffix(".pt2"))
    seen: dict[str, torch.Tensor] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor) and n.op == "call_function":
                seen[n.name] = result.clone()
            return result

    constants = {**loaded.state_dict, **loaded.constants}
    given = iter(torch.from_numpy(np.array(array)) for array in inputs)
    arguments = [
        next(given) if spec.kind.name == "USER_INPUT" else constants[spec.target]
        for spec in loaded.graph_signature.input_specs
    ]
    with torch.no_grad():
        Recorder(loaded.graph_module).run(*arguments)
    return seen


@pytest.mark.parametrize(
    ("case", "without"),
    [
        ("linear", set()),
        ("convolutions", set()),
        ("folded", set()),
        ("counting", set()),
        # Writes to a buffer have no value of their own.
        ("attention", {"kv_cache_update", "kv_cache_update_1"}),
        ("cached", {"update_cache", "update_cache_1"}),
    ],
)
def test_every_named_value_is_eagers_own(
    exported: Callable[[str], Any], case: str, without: set[str]
) -> None:
    program = exported(case)
    _, inputs, _ = program.calls[0]
    probe, expected = probed(program), eager(program, inputs)
    assert set(expected) - set(probe.names()) == without
    values = probe.values(inputs, set(expected) - without)
    for name, value in values.items():
        # The slots of most of these were reused by later instructions.
        assert value.shape == expected[name].shape, name
        assert np.abs(value - expected[name].numpy()).max() < 1e-6, name


def test_a_step_says_what_it_is_for(exported: Callable[[str], Any]) -> None:
    probe = probed(exported("folded"))
    step = probe.step("linear_1")
    assert str(step) == "step 7, AddmmNode (linear_1)"
    assert step.origin is not None
    assert step.origin.module == "after"
    assert probe.step("aten_linear_default_1") is step
    assert [s.op for s in probe.steps[3:6]] == ["GeluNode", "aten::index_put.out", "ReshapeNode"]


def test_all_values_by_number(exported: Callable[[str], Any]) -> None:
    program = exported("folded")
    _, inputs, expected = program.calls[0]
    values = probed(program).values(inputs)
    assert list(values) == list(range(9))
    assert np.abs(values[8] - expected).max() < 1e-6


def test_a_branch_that_is_not_taken_makes_nothing(exported: Callable[[str], Any]) -> None:
    program = exported("branching")
    probe = probed(program)
    (_, positive, _), (_, negative, _), _ = program.calls
    sides = [step.index for step in probe.steps if step.op in ("aten::sin.out", "aten::cos.out")]
    assert [set(sides) & set(probe.values(x)) for x in (positive, negative)] == [
        {sides[0]},
        {sides[1]},
    ]
    with pytest.raises(InputError, match=r"aten::cos\.out made nothing .* a branch .* not taken"):
        probe.run(positive, at=[sides[1]])


def test_a_run_ends_where_it_is_told(exported: Callable[[str], Any]) -> None:
    program = exported("folded")
    _, inputs, _ = program.calls[0]
    probe = probed(program)
    run = probe.run(inputs, at=[0], until="gelu")
    assert run.outputs is None
    assert set(run.values) == {0, "gelu"}
    with pytest.raises(InputError, match=r"step 8, SoftmaxNode \(softmax\) made nothing"):
        probe.run(inputs, at=["softmax"], until="gelu")


@pytest.mark.parametrize("name", ["linear", "index_put", "view"])
def test_a_replaced_value_reaches_the_output(exported: Callable[[str], Any], name: str) -> None:
    program = exported("folded")
    _, inputs, expected = program.calls[0]
    probe = probed(program)
    # With nothing but zeros going in, the last linear gives its bias to every row.
    (made,) = probe.run(inputs, replace={name: np.zeros_like}).outputs or ()
    assert np.abs(made - made[:1, :1]).max() == 0.0
    assert np.abs(made - expected).max() > 1e-3
    (again,) = probe.run(inputs).outputs or ()
    assert np.abs(again - expected).max() < 1e-6


def test_eagers_value_in_place_of_the_same_changes_nothing(exported: Callable[[str], Any]) -> None:
    program = exported("convolutions")
    _, inputs, _ = program.calls[0]
    probe = probed(program)
    name = "silu"
    (plain,) = probe.run(inputs).outputs or ()
    same = probe.values(inputs, [name])[name]
    (put,) = probe.run(inputs, replace={name: same}).outputs or ()
    # The replacement lies in rows, which another of MLX's kernels multiplies.
    assert np.abs(plain - put).max() < 1e-6


def test_a_replaced_weight_is_not_hidden_by_a_kept_copy(exported: Callable[[str], Any]) -> None:
    program = exported("narrow")
    _, inputs, _ = program.calls[0]
    probe = probed(program, fast=True)
    probe.run(inputs)
    assert probe.steps[0].op == "TransposeNode"
    (made,) = probe.run(inputs, replace={0: np.zeros_like}).outputs or ()
    assert np.abs(made.astype(np.float32)).max() == 0.0


def test_states_are_those_of_the_executor(exported: Callable[[str], Any]) -> None:
    program = exported("attention")
    executor = PortableExecutor()
    executor.load(program.path)
    (_, first, _), (_, second, expected), _ = program.calls
    executor.call("forward", first, state="spoken")
    (got,) = executor.probe("forward").run(second, state="spoken").outputs or ()
    assert np.abs(got - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 7), np.float32), r"is float32 of shape \(3, 8\), its replacement float32"),
        (np.zeros((3, 8)), r"replacement float64 of shape \(3, 8\)"),
    ],
)
def test_a_replacement_of_another_kind_is_refused(
    exported: Callable[[str], Any], given: np.ndarray, message: str
) -> None:
    program = exported("folded")
    with pytest.raises(InputError, match=message):
        probed(program).run(program.calls[0][1], replace={"linear": given})


def test_unknown_names_are_refused_with_near_ones(exported: Callable[[str], Any]) -> None:
    probe = probed(exported("folded"))
    with pytest.raises(InputError, match=r"'linear_2' is no exported node .* linear_1"):
        probe.step("linear_2")
    with pytest.raises(InputError, match=r"has steps 0 to 8 \(got 9\)"):
        probe.step(9)


def test_without_names_steps_go_by_number(exported: Callable[[str], Any], tmp_path: Path) -> None:
    program = exported("folded")
    alone = tmp_path / "alone.pte"
    shutil.copy(program.path, alone)
    executor = PortableExecutor()
    executor.load(alone)
    probe = executor.probe("forward")
    assert probe.values(program.calls[0][1], [8])[8].shape == (3, 2, 4)
    with pytest.raises(InputError, match="no names were kept beside the program"):
        probe.step("linear")


def test_names_of_another_export_are_refused(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    program = exported("folded")
    shutil.copy(program.path, tmp_path / "other.pte")
    names = json.loads(program.path.with_suffix(".nodes.json").read_text())
    names["methods"]["forward"]["delegates"][0]["payload"] = "0" * 64
    (tmp_path / "other.nodes.json").write_text(json.dumps(names))
    executor = PortableExecutor()
    executor.load(tmp_path / "other.pte")
    with pytest.raises(InputError, match=r"belongs to another export than other\.pte"):
        executor.probe("forward")


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2}', '{"schema": 1, "methods": 3}'])
def test_damaged_names_are_refused(
    exported: Callable[[str], Any], tmp_path: Path, content: str
) -> None:
    shutil.copy(exported("folded").path, tmp_path / "other.pte")
    (tmp_path / "other.nodes.json").write_text(content)
    executor = PortableExecutor()
    executor.load(tmp_path / "other.pte")
    with pytest.raises(InputError, match=r"other\.nodes\.json"):
        executor.probe("forward")
