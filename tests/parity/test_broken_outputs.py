"""Outputs that are not finite, of another form or count: verdicts, never the end of the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from harness.arrays import Array
from harness.budget import COMMITTED
from harness.compare import Status, Verdict, exit_code
from harness.golden import default_root
from harness.golden.anchor import read_anchors
from harness.methods import METHODS
from harness.parity.evidence import SPEECH, STEPS
from harness.parity.judge import judge
from harness.parity.judges.links import judge_differences, judge_exact
from harness.parity.observation import By, CaseObservation, Observation, Refusal
from harness.parity.replay import observe_case
from harness.parity.words import judge_words


def broken(x: Array) -> Array:
    made = np.array(x)
    made.reshape(-1)[made.size // 2] = np.nan
    return made


def with_outputs(
    seen: Observation, method: str, change: Callable[[Array], Array], *labels: str
) -> Observation:
    """What was seen, with other outputs of a method, in the named cases or in all."""
    cases = {
        label: CaseObservation(tuple(map(change, case.outputs)))
        if not labels or label in labels
        else case
        for label, case in seen.cases[method].items()
    }
    return dataclasses.replace(seen, cases={**seen.cases, method: cases})


def verdicts_on(line: Line, seen: Observation) -> tuple[Verdict, ...]:
    return judge(line.plan, line.evidence, line.artifacts, seen)


def test_a_codec_that_returns_nan_is_a_mismatch(line: Line) -> None:
    seen = with_outputs(line.observation, "codec", broken)
    assert seen.speech is not None
    sounds = {name: broken(getattr(seen.speech, name)) for name in ("streamed", "offline")}
    said = {
        name: dataclasses.replace(spoken, waveform=broken(spoken.waveform))
        for name, spoken in (("first", seen.speech.first), ("again", seen.speech.again))
    }
    speech = dataclasses.replace(seen.speech, **said, **sounds)
    found = verdicts_on(line, dataclasses.replace(seen, speech=speech))
    assert exit_code(found) == 1
    red = {(v.subject, v.case) for v in found if v.status is Status.FAIL}
    assert ("codec", SPEECH) in red
    assert {"speech"} < {subject for subject, _ in red}
    anchor = read_anchors(default_root())[0]
    assert judge_words(line.plan, speech.first, None, anchor) == ()

    class Ear:
        engine = "ear"

    ear: Any = Ear()
    (heard,) = judge_words(line.plan, speech.first, ear, None)
    assert heard.status is Status.UNJUDGED
    assert "NaN has no 16-bit form" in heard.summary


def test_eager_that_returns_nan_is_not_judged(line: Line) -> None:
    items = line.evidence.cases["codec"]
    first = dataclasses.replace(items[0], outputs=tuple(map(broken, items[0].outputs)))
    cases = {**line.evidence.cases, "codec": (first, *items[1:])}
    evidence = dataclasses.replace(line.evidence, cases=cases)
    found = judge(line.plan, evidence, line.artifacts, line.observation)
    (verdict,) = [v for v in found if (v.subject, v.case) == ("codec", first.case.label)]
    assert verdict.status is not Status.PASS


def test_steps_of_another_form_fail(line: Line) -> None:
    seen = with_outputs(line.observation, "text_decoder", np.ravel, STEPS)
    found = verdicts_on(line, seen)
    (verdict,) = [v for v in found if (v.subject, v.case) == ("text_decoder", STEPS)]
    assert verdict.status is Status.FAIL


def test_a_method_whose_steps_nobody_watched_is_unjudged_where_others_were(
    tiny_line: Line,
) -> None:
    local = {name: seen for name, seen in tiny_line.observation.local.items() if name != "codec"}
    found = verdicts_on(tiny_line, dataclasses.replace(tiny_line.observation, local=local))
    (verdict,) = [v for v in found if (v.subject, v.case) == ("codec", "each step")]
    assert verdict.status is Status.UNJUDGED
    assert "nobody watched its steps" in verdict.summary


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_outputs_is_the_programs_fault(count: int, tiny_line: Line) -> None:
    class Other:
        def reset(self, state: str) -> None:
            pass

        def call(self, method: str, inputs: Sequence[Array], *, state: str) -> list[Array]:
            return [np.zeros((1, 4), np.float32)] * count

    other: Any = Other()
    method = METHODS[3]
    case = tiny_line.evidence.cases[method.name][0].case
    refusal = observe_case(tiny_line.plan, method, case, other).refusal
    assert refusal is not None
    assert refusal.by is By.PROGRAM
    assert f"semantic_head returns {count} outputs, expected 1" in refusal.reason


def test_a_case_that_did_not_run_in_float64_leaves_the_link_unjudged_unless_one_is_wrong() -> None:
    ones = np.ones(3)
    meant = {"a": (ones,), "b": (ones,), "c": ()}
    right, late = CaseObservation((ones,)), Refusal(By.HARNESS, "time-out")

    def status(**observed: CaseObservation) -> Status:
        return judge_exact("codec", meant, observed, COMMITTED.exact, "").status

    assert status(a=right, b=right) is Status.PASS
    assert status(a=right) is Status.UNJUDGED
    assert status(a=right, b=CaseObservation(refusal=late)) is Status.UNJUDGED
    wrong = CaseObservation((2 * ones,))
    assert status(a=CaseObservation(refusal=late), b=wrong) is Status.FAIL


def test_nothing_finite_in_float64_is_not_judged() -> None:
    nothing = np.full(3, np.nan)
    verdict = judge_differences("codec", [("a", nothing, nothing)], COMMITTED.exact)
    assert verdict.status is Status.UNJUDGED
