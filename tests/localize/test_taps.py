"""An executor that shows nothing but outputs: its wrong node is named through taps, or cuts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.blind import Blind, louder
from fixtures.exports import Line as Parity
from harness.budget import COMMITTED
from harness.compare import Status, Verdict
from harness.errors import InputError
from harness.export.taps import tapped as add_taps
from harness.localize import explain, tapped, taps
from harness.localize.find import Line
from harness.localize.steps import link_of
from harness.localize.tapped import through_taps
from harness.localize.taps import localize_tapped, tappable
from harness.methods import select_methods
from harness.parity import Request
from harness.parity.check import Checked
from harness.parity.evidence import CaseEvidence
from harness.runtime.protocol import Watchable


def line_of(parity: Parity, **options: Any) -> Line:
    plan = dataclasses.replace(parity.plan, **options)
    return Line(plan, parity.evidence, parity.artifacts, parity.models, COMMITTED)


def test_an_executor_that_shows_nothing_is_not_watched() -> None:
    assert not isinstance(Blind({}), Watchable)


@pytest.mark.parametrize(
    ("precision", "method", "kind"),
    [
        pytest.param("fp32", "predict_velocity", "SoftmaxNode", marks=pytest.mark.slow),
        pytest.param("bf16-4w8w", "text_decoder", "SiluNode", marks=pytest.mark.slow),
        pytest.param("bf16", "codec", "Conv1DNode", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_kernel_is_named_and_proved(
    precision: str, method: str, kind: str, parity_in: Callable[[str], Parity]
) -> None:
    (chosen,) = select_methods([method])
    found = localize_tapped(line_of(parity_in(precision)), chosen, Blind(louder(kind)))
    assert found is not None
    assert {finding.place.op for finding in found.findings} == {kind}
    assert found.proved, found.proof
    first = found.findings[0].place
    assert first.source
    assert first.target.startswith(("aten.", "mlx."))
    assert "seen through taps" in found.proof


def test_a_right_executor_has_no_wrong_node(tiny_line: Parity) -> None:
    (method,) = select_methods(["semantic_head"])
    assert localize_tapped(line_of(tiny_line), method, Blind({})) is None


class Returning(Blind):
    """Its steps are right; what it returns first is not what the last of them made."""

    def call(self, method: str, inputs: Any, *, state: str = "default") -> Any:
        first, *others = self._executor.call(method, inputs, state=state)
        return [first * np.float32(1.5), *others]


def test_what_is_no_step_is_said_not_to_be_one(tiny_line: Parity) -> None:
    (method,) = select_methods(["semantic_head"])
    found = localize_tapped(line_of(tiny_line), method, Returning({}))
    assert found is not None
    assert found.findings == ()
    assert "What is wrong is not a step" in found.proof


@pytest.mark.slow
def test_a_fault_that_vanishes_under_observation_is_found_by_cutting(tiny_line: Parity) -> None:
    (method,) = select_methods(["predict_velocity"])
    found = localize_tapped(line_of(tiny_line), method, Blind(louder("SiluNode"), most=1))
    assert found is not None
    (finding,) = found.findings
    assert (finding.place.op, finding.place.node) == ("SiluNode", "silu")  # of two, the first
    assert finding.error > 1
    assert finding.place.source
    assert not found.proved
    assert "vanishes under observation" in found.proof


def test_a_file_of_others_cannot_be_tapped(tiny_line: Parity) -> None:
    (method,) = select_methods(["predict_velocity"])
    with pytest.raises(InputError, match="its graph is not known"):
        localize_tapped(line_of(tiny_line, given=True), method, Blind({}))


def test_a_red_run_on_the_own_runtime_names_the_node(
    tiny_line: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "choose", lambda *_: Blind(louder("SiluNode")))
    executor = dataclasses.replace(tiny_line.observation.executor, executor="native")
    observation = dataclasses.replace(tiny_line.observation, executor=executor)
    broken = Verdict("predict_velocity", "speech", "tensor", Status.FAIL, "wrong")
    other = dataclasses.replace(broken, case="zeros")
    where = line_of(tiny_line)
    checked = Checked(where.plan, where.evidence, where.artifacts, observation, (broken, other))

    told = explain.explained(Request(), checked, where.models)

    assert told.verdicts[0].metrics["op"] == "SiluNode"
    assert told.verdicts[1] == other
    (found,) = told.findings
    assert found.proved

    exact = dataclasses.replace(broken, kind="exact", status=Status.FAIL)
    assert link_of(broken, (broken, exact), shows=False) == ""
    assert link_of(broken, (broken,), shows=True) == ""


class Exactly(Blind):
    """Another right executor: each step is the float64 value, rounded once."""

    def call(self, method: str, inputs: Any, *, state: str = "default") -> Any:
        every = range(len(self._executor.probe(method).steps))
        return self._executor.watch(method, inputs, state=state, repair=every)[0]


@pytest.mark.parametrize(
    ("precision", "method"),
    [
        pytest.param("bf16-4w8w", "text_decoder", marks=pytest.mark.slow),
        ("bf16-4w8w", "predict_velocity"),
        pytest.param("fp32", "predict_velocity", marks=pytest.mark.slow),
        pytest.param("bf16", "codec", marks=pytest.mark.slow),
    ],
)
def test_who_rounds_otherwise_has_no_wrong_step(
    precision: str,
    method: str,
    parity_in: Callable[[str], Parity],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, (chosen,) = line_of(parity_in(precision)), select_methods([method])
    item = line.items(chosen, None)[0]
    short = CaseEvidence(item.case.first(3), item.outputs[:3])
    what = tappable(line, chosen, short)
    program = what.trace()
    order = add_taps(program, what.names.values)
    path = taps._Search(what, Blind({}), None, tmp_path)._lowered(program, "tapped", taps=True)
    for right in (False, True):  # of the outputs: each step is judged all the same
        monkeypatch.setattr(tapped, "within", lambda *_, right=right: right)
        for executor, found in ((Exactly({}), False), (Blind(louder("RMSNormNode")), True)):
            told = through_taps(what, path, order, executor, executor.regime())
            assert bool(told and told.findings) is found
            assert (told is None) is (right and not found)
