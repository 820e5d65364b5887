"""Plots show the arrays of the run that was judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fixtures.exports import Line
from harness.parity.check import Checked
from harness.parity.figures import figures
from harness.parity.judge import judge
from harness.report import Figures


@pytest.fixture(scope="module")
def checked(tiny_line: Line) -> Checked:
    values = (tiny_line.plan, tiny_line.evidence, tiny_line.artifacts, tiny_line.observation)
    return Checked(*values, judge(*values))


@pytest.fixture(scope="module")
def shown(checked: Checked) -> Figures:
    return figures(checked)


def test_every_method_and_every_case_is_shown(checked: Checked, shown: Figures) -> None:
    assert [steps.method for steps in shown.steps] == list(checked.plan.methods)
    judged = {(v.subject, v.case) for v in checked.verdicts if v.kind in ("tensor", "waveform")}
    cases = {(outputs.method, outputs.case) for outputs in shown.outputs}
    assert judged - cases == {  # those are judged against other calls of the executor's own
        ("text_decoder", "prefill ≡ single steps"),
        ("speech", "waveform, free-running"),
        ("speech", "streaming ≡ offline"),
    }


def test_shares_are_those_of_the_verdicts(checked: Checked, shown: Figures) -> None:
    by_case = {(v.subject, v.case): v for v in checked.verdicts}
    for steps in shown.steps:
        local = by_case[steps.method, "each step"]
        gate = next(gate for gate in local.gates if gate.name == "worst step")
        assert max(steps.shares) == gate.value
        assert local.metrics["shares"] == tuple(float(f"{share:.2g}") for share in steps.shares)
    for outputs in shown.outputs:
        gate = next(g for g in by_case[outputs.method, outputs.case].gates if g.name == "max abs")
        greatest = outputs.shares().max()
        assert greatest == pytest.approx(gate.headroom_used, rel=1e-6)


def test_the_codec_and_the_speech_are_heard(checked: Checked, shown: Figures) -> None:
    taught, free = shown.sounds
    frames = checked.evidence.speech.codes.shape[1]
    size = frames * checked.plan.sizes.downsample_factor
    assert (taught.title, taught.frames, taught.made.size) == ("codec · speech", frames, size)
    assert np.abs(taught.made - taught.meant).max() < taught.allowed
    assert free.title == "speech · waveform, free-running"


def test_a_code_that_no_tie_explains_is_a_fault(checked: Checked, shown: Figures) -> None:
    assert shown.decisions is not None
    assert shown.decisions.differing == ()
    said = checked.observation.speech
    own = checked.evidence.own
    assert said is not None
    assert own is not None
    codes, beyond = said.first.codes.copy(), own.beyond.copy()
    codes[3, 5] += 1
    beyond[2, 5] = 0.8
    wrong = dataclasses.replace(said, first=dataclasses.replace(said.first, codes=codes))
    followed = dataclasses.replace(own, codes=codes, beyond=beyond)
    damaged = dataclasses.replace(
        checked,
        observation=dataclasses.replace(checked.observation, speech=wrong),
        evidence=dataclasses.replace(checked.evidence, followed=followed),
    )
    found = figures(damaged).decisions
    assert found is not None
    (fault,) = found.differing
    assert (fault.frame, fault.book, fault.code) == (5, 3, str(codes[3, 5]))
    assert fault.what == "fault"
