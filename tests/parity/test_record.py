"""Evidence is made once, kept under all that it depends on, and made again where it is damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from harness.arrays import Array
from harness.errors import InputError
from harness.parity import record as module
from harness.parity.evidence import SPEECH, STEPS, Evidence
from harness.parity.record import follow_codes, record
from harness.reference.semantics import SEMANTICS


@pytest.fixture
def made(tiny_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often eager ran; it gives the evidence of `parity`."""
    calls: list[int] = []
    evidence = tiny_line.evidence

    def run(*arguments: Any) -> Evidence:
        calls.append(1)
        return evidence

    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "_record", run)
    return calls


def test_the_same_evidence_is_made_once(tiny_line: Line, made: list[int]) -> None:
    first, again = (record(tiny_line.plan, tiny_line.models) for _ in range(2))
    assert made == [1]
    assert np.array_equal(first.speech.codes, again.speech.codes)


def test_another_utterance_or_capacity_is_other_evidence(tiny_line: Line, made: list[int]) -> None:
    plan = tiny_line.plan
    utterance = dataclasses.replace(plan.utterance, seed=7)
    sizes = dataclasses.replace(plan.sizes, max_seq_len=64)
    for other in (plan, dataclasses.replace(plan, utterance=utterance),
                  dataclasses.replace(plan, sizes=sizes)):  # fmt: skip
        record(other, tiny_line.models)
    assert len(made) == 3


def test_other_semantics_are_other_evidence(tiny_line: Line, made: list[int]) -> None:
    for semantics in SEMANTICS.values():
        record(dataclasses.replace(tiny_line.plan, semantics=semantics), tiny_line.models)
    assert len(made) == len(SEMANTICS)


def test_another_executor_or_method_shares_it(tiny_line: Line, made: list[int]) -> None:
    record(tiny_line.plan, tiny_line.models)
    record(
        dataclasses.replace(tiny_line.plan, methods=("codec",), lowering="xnnpack"),
        tiny_line.models,
    )
    assert made == [1]


def test_fresh_runs_again(tiny_line: Line, made: list[int]) -> None:
    record(tiny_line.plan, tiny_line.models)
    record(tiny_line.plan, tiny_line.models, fresh=True)
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["flip", "flip a number", "cut"])
def test_a_damaged_copy_is_made_again(
    damage: str, tiny_line: Line, made: list[int], tmp_path: Path
) -> None:
    record(tiny_line.plan, tiny_line.models)
    (file,) = (tmp_path / "store" / "eager").glob("*/value.safetensors")
    content = bytearray(file.read_bytes())
    content[-1000 if damage == "flip a number" else 200] ^= 255
    file.write_bytes(content[:100] if damage == "cut" else content)

    evidence = record(tiny_line.plan, tiny_line.models)

    assert len(made) == 2
    assert evidence.cases.keys() == tiny_line.evidence.cases.keys()


class Mute:
    """Eager whose first choice is END_AUDIO."""

    def reset(self, state: str = "default") -> None:
        pass

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        if method == "semantic_head":
            logits = np.zeros((1, 640), np.float32)
            logits[0, 1] = 1
            return [logits]
        return [np.zeros((1, inputs[0].shape[1], 256), np.float32)]


def test_a_text_of_which_eager_says_nothing_is_one_sentence(tiny_line: Line) -> None:
    models = SimpleNamespace(checkpoint=tiny_line.checkpoint, eager=Mute())
    with pytest.raises(InputError, match="eager ends before its first frame of 'Hello"):
        module._record(tiny_line.plan, models, print)  # type: ignore[arg-type]


def test_codes_that_are_eagers_need_no_second_run(tiny_line: Line) -> None:
    speech = tiny_line.speech
    evidence = follow_codes(
        tiny_line.plan, tiny_line.evidence, tiny_line.models, speech.codes, speech.ended
    )
    assert evidence is tiny_line.evidence


def test_cases_reach_what_no_speech_of_tiny_does(tiny_line: Line) -> None:
    """Single steps to the last slot, two states by turns, prefills of 64 to 100 tokens."""
    cases = {item.case.label: item.case for item in tiny_line.evidence.cases["text_decoder"]}
    assert {SPEECH, STEPS, "two states by turns"} <= set(cases)
    singles = {
        int(call[1][0]) for case in cases.values() for call in case.calls if len(call[1]) == 1
    }
    assert set(range(76, 128)) <= singles
    lengths = {len(call[1]) for case in cases.values() for call in case.calls}
    assert any(64 <= length <= 100 for length in lengths)
