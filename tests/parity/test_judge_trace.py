"""The runner's first frames against eager's along the same codes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from harness.budget import COMMITTED, Budget
from harness.budget.ledger import Ledger
from harness.compare import Status, Verdict
from harness.fingerprint import UNMEASURED
from harness.parity.evidence import Evidence
from harness.parity.judges.trace import judge_prompt, judge_trace
from harness.parity.opening import opening_of
from harness.parity.record import follow_codes
from harness.runner.trace import Trace


def told(evidence: Evidence) -> Trace:
    """What a runner without fault tells of eager's own speech."""
    opening = opening_of(lambda name: evidence.cases[name][0].outputs)
    ids = np.argsort(-opening.logits, axis=1, kind="stable")[:, :5]
    names = ("prefill_hidden", "frame0_hidden", "frame1_hidden")
    vectors: dict[str, Any] = dict(zip(names, opening.hidden[:3], strict=True))
    vectors["frame0_audio_embed"] = opening.embeds[0]
    logits = np.take_along_axis(opening.logits, ids, axis=1)
    return Trace(evidence.prompt.ids[0], vectors, ids, logits, ids[:, 0])


def judged(
    line: Line,
    trace: Trace,
    evidence: Evidence | None = None,
    codes: np.ndarray | None = None,
    budget: Budget = COMMITTED,
) -> list[Verdict]:
    said = line.speech.codes if codes is None else codes
    return judge_trace(line.plan, evidence or line.evidence, trace, said, budget, UNMEASURED)


def test_eagers_own_values_pass(tiny_line: Line) -> None:
    verdicts = judged(tiny_line, told(tiny_line.evidence))
    assert [verdict.subject for verdict in verdicts] == [
        "text_decoder", "audio_token_embedding", "semantic_head",
    ]  # fmt: skip
    assert {verdict.status for verdict in verdicts} == {Status.PASS}
    assert verdicts[0].metrics["calls"] == 3
    assert judge_prompt(tiny_line.evidence, told(tiny_line.evidence)).status is Status.PASS


@pytest.mark.parametrize("moved", [0.01, np.nan, np.inf])
def test_one_logit_that_lies_elsewhere_fails(tiny_line: Line, moved: float) -> None:
    trace = told(tiny_line.evidence)
    logits = trace.top_logits.copy()
    logits[2, 4] += moved
    *_, head = judged(tiny_line, dataclasses.replace(trace, top_logits=logits))
    assert head.status is Status.FAIL
    assert head.gates[1].where.startswith("frame 2, code ")


def test_a_code_that_is_not_the_top_logits_fails(tiny_line: Line) -> None:
    trace = told(tiny_line.evidence)
    *_, head = judged(tiny_line, dataclasses.replace(trace, codes=trace.codes + 1))
    assert [gate.name for gate in head.failed_gates] == ["codes that are not the top logit's"]


@pytest.mark.parametrize("code", [-1, 10**6])
def test_a_code_that_there_is_not_fails(tiny_line: Line, code: int) -> None:
    trace = told(tiny_line.evidence)
    ids = trace.top_ids.copy()
    ids[0, 0] = code
    *_, head = judged(tiny_line, dataclasses.replace(trace, top_ids=ids))
    assert head.status is Status.FAIL


def test_a_speech_of_one_frame_is_judged_by_what_it_has(tiny_line: Line) -> None:
    trace = told(tiny_line.evidence)
    few = {name: trace.vectors[name] for name in ("prefill_hidden", "frame0_hidden")}
    decoder, head = judged(tiny_line, dataclasses.replace(trace, vectors=few))
    assert (decoder.subject, decoder.metrics["calls"]) == ("text_decoder", 2)
    assert head.status is Status.PASS


def test_along_other_codes_eager_follows(tiny_line: Line) -> None:
    """Another code of frame 0 moves frame 1's hidden state, and eager's with it."""
    codes = tiny_line.speech.codes.copy()
    codes[5, 0] += 1 if codes[5, 0] < 22 else -1
    evidence = follow_codes(tiny_line.plan, tiny_line.evidence, tiny_line.models, codes, True)
    decoder, embedding, _ = judged(tiny_line, told(tiny_line.evidence), evidence, codes=codes)
    assert decoder.status is Status.FAIL  # this is what was told along eager's own codes
    assert embedding.status is Status.FAIL
    opening = evidence.opening
    assert opening is not None
    trace = told(tiny_line.evidence)
    vectors = {**trace.vectors, "frame1_hidden": opening.hidden[2]}
    vectors["frame0_audio_embed"] = opening.embeds[0]
    right = dataclasses.replace(trace, vectors=vectors)
    decoder, embedding, _ = judged(tiny_line, right, evidence, codes=codes)
    assert (decoder.status, embedding.status) == (Status.PASS, Status.PASS)


def test_what_eager_did_not_follow_is_unjudged(tiny_line: Line) -> None:
    verdicts = judged(tiny_line, told(tiny_line.evidence), codes=tiny_line.speech.codes[:, :3])
    assert {verdict.status for verdict in verdicts} == {Status.UNJUDGED}


def test_a_precision_that_was_not_measured_is_unjudged(tiny_line: Line) -> None:
    nothing = dataclasses.replace(COMMITTED, ledger=Ledger({}, ()))
    verdicts = judged(tiny_line, told(tiny_line.evidence), budget=nothing)
    assert {verdict.status for verdict in verdicts} == {Status.UNJUDGED}


def test_a_longer_prompt_is_told_by_its_first_other_token(tiny_line: Line) -> None:
    trace = told(tiny_line.evidence)
    ours = tiny_line.evidence.prompt.ids[0]
    longer = np.insert(ours, 15, 24)
    verdict = judge_prompt(tiny_line.evidence, dataclasses.replace(trace, prompt=longer))
    assert verdict.status is Status.FAIL
    assert (
        f"of {ours.size + 1} tokens is not ours of {ours.size}: token 15 is 24" in verdict.summary
    )
    shorter = dataclasses.replace(trace, prompt=ours[:-1])
    assert "is none, ours 25" in judge_prompt(tiny_line.evidence, shorter).summary
