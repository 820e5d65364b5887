"""What a report says besides its verdicts, and a file that is not what was exported."""

from __future__ import annotations

import dataclasses

from fixtures.exports import Line
from harness.compare import Status, Verdict
from harness.parity.artifacts import Artifacts
from harness.parity.facts import executor_facts, name_disputes, reference
from harness.parity.judge import judge
from harness.reference.semantics import SEMANTICS


def passed(subject: str, kind: str) -> Verdict:
    return Verdict(subject, "case", kind, Status.PASS, "", elements=1)


def test_a_file_changed_after_export_fails(tiny_line: Line) -> None:
    file = tiny_line.artifacts.files["model.pte"]
    changed = dataclasses.replace(file, sha256="0" * 64)
    artifacts = Artifacts({**tiny_line.artifacts.files, "model.pte": changed})

    def integrity(artifacts: Artifacts) -> list[Verdict]:
        verdicts = judge(tiny_line.plan, tiny_line.evidence, artifacts, tiny_line.observation)
        return [verdict for verdict in verdicts if verdict.case == "integrity"]

    assert integrity(tiny_line.artifacts) == []
    (verdict,) = integrity(artifacts)
    assert (verdict.subject, verdict.status) == ("model.pte", Status.FAIL)
    assert "changed after its export" in verdict.summary


def test_choices_are_those_of_what_was_compared(tiny_line: Line) -> None:
    def names(*verdicts: Verdict) -> list[str]:
        return [choice.name for choice in reference(tiny_line.plan, verdicts).choices]

    assert names(passed("token_embedding", "tensor")) == []
    assert names(passed("codec", "waveform")) == [
        "ALiBi slopes",
        "codec attention window",
        "padding of the codec's first convolution",
        "special codes at the codec",
    ]
    assert "seed step" in names(passed("speech", "codes"))


def test_a_reference_that_follows_another_implementation_says_so(tiny_line: Line) -> None:
    plan = dataclasses.replace(tiny_line.plan, semantics=SEMANTICS["voxtral-tts.c"])
    told = reference(plan, [passed("codec", "waveform")])
    assert told.description.endswith(", made to follow voxtral-tts.c")
    window = next(choice for choice in told.choices if choice.name == "codec attention window")
    assert (window.value, window.source) == (
        "W positions",
        "voxtral-tts.c; ExecuTorch, vLLM-Omni, mlx-audio: W + 1 positions",
    )


def test_a_reference_that_nothing_was_compared_with_is_not_named(tiny_line: Line) -> None:
    unjudged = Verdict("speech", "codes", "codes", Status.UNJUDGED, "")
    told = reference(tiny_line.plan, [unjudged, passed("speech", "repeat")])
    assert told.description == "none: nothing was compared with one"
    assert told.choices == ()


def test_an_executor_that_shows_no_steps_is_said_to(tiny_line: Line) -> None:
    plan, seen = tiny_line.plan, tiny_line.observation
    assert executor_facts(plan, seen) == seen.executor
    hidden = dict(seen.local)
    del hidden["codec"]
    for local in ({}, hidden):
        (note,) = executor_facts(plan, dataclasses.replace(seen, local=local)).notes[-1:]
        assert "no step was judged by itself" in note
    silent = dataclasses.replace(seen, cases={}, local={})  # upstream's runner calls no methods
    assert executor_facts(plan, silent) == seen.executor
    other = dataclasses.replace(plan, lowering="xnnpack")  # whose steps mean nothing to the link
    assert executor_facts(other, dataclasses.replace(seen, local={})) == seen.executor


def test_an_unusual_export_is_said(tiny_line: Line) -> None:
    plan = dataclasses.replace(tiny_line.plan, codec_form="unfold", without=("index-rank",))
    assert [(choice.name, choice.value) for choice in reference(plan, []).choices] == [
        ("codec form", "unfold"),
        ("stock lowering put back", "index-rank"),
    ]


def test_a_red_trace_is_named_too(tiny_line: Line) -> None:
    plan = dataclasses.replace(tiny_line.plan, semantics=SEMANTICS["mlx-audio"])
    red = Verdict("text_decoder", "trace: prefill hidden", "tensor", Status.FAIL, "")
    other = Verdict("text_decoder", "speech", "tensor", Status.FAIL, "")
    traced, untouched = name_disputes(plan, [red, other])
    assert "seed step: none (exported: one more [AUDIO] token" in traced.notes[0]
    assert untouched.notes == ()
