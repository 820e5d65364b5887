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
def made(parity: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often eager ran; it gives the evidence of `parity`."""
    calls: list[int] = []
    evidence = parity.evidence

    def run(*arguments: Any) -> Evidence:
        calls.append(1)
        return evidence

    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "_record", run)
    return calls


def test_the_same_evidence_is_made_once(parity: Line, made: list[int]) -> None:
    first, again = (record(parity.plan, parity.models) for _ in range(2))
    assert made == [1]
    assert np.array_equal(first.speech.codes, again.speech.codes)


def test_another_utterance_or_capacity_is_other_evidence(parity: Line, made: list[int]) -> None:
    plan = parity.plan
    utterance = dataclasses.replace(plan.utterance, seed=7)
    sizes = dataclasses.replace(plan.sizes, max_seq_len=64)
    for other in (plan, dataclasses.replace(plan, utterance=utterance),
                  dataclasses.replace(plan, sizes=sizes)):  # fmt: skip
        record(other, parity.models)
    assert len(made) == 3


def test_other_semantics_are_other_evidence(parity: Line, made: list[int]) -> None:
    for semantics in SEMANTICS.values():
        record(dataclasses.replace(parity.plan, semantics=semantics), parity.models)
    assert len(made) == len(SEMANTICS)


def test_another_executor_or_method_shares_it(parity: Line, made: list[int]) -> None:
    record(parity.plan, parity.models)
    record(dataclasses.replace(parity.plan, methods=("codec",), lowering="xnnpack"), parity.models)
    assert made == [1]


def test_fresh_runs_again(parity: Line, made: list[int]) -> None:
    record(parity.plan, parity.models)
    record(parity.plan, parity.models, fresh=True)
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["flip", "flip a number", "cut"])
def test_a_damaged_copy_is_made_again(
    damage: str, parity: Line, made: list[int], tmp_path: Path
) -> None:
    record(parity.plan, parity.models)
    (file,) = (tmp_path / "store" / "eager").glob("*/value.safetensors")
    content = bytearray(file.read_bytes())
    content[-1000 if damage == "flip a number" else 200] ^= 255
    file.write_bytes(content[:100] if damage == "cut" else content)

    evidence = record(parity.plan, parity.models)

    assert len(made) == 2
    assert evidence.cases.keys() == parity.evidence.cases.keys()


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


def test_a_text_of_which_eager_says_nothing_is_one_sentence(parity: Line) -> None:
    models = SimpleNamespace(checkpoint=parity.checkpoint, eager=Mute())
    with pytest.raises(InputError, match="eager ends before its first frame of 'Hello"):
        module._record(parity.plan, models, print)  # type: ignore[arg-type]


def test_codes_that_are_eagers_need_no_second_run(parity: Line) -> None:
    speech = parity.speech
    evidence = follow_codes(parity.plan, parity.evidence, parity.models, speech.codes, speech.ended)
    assert evidence is parity.evidence


def test_cases_reach_what_no_speech_of_tiny_does(parity: Line) -> None:
    """Single steps to the last slot, two states by turns, prefills of 64 to 100 tokens."""
    cases = {item.case.label: item.case for item in parity.evidence.cases["text_decoder"]}
    assert {SPEECH, STEPS, "two states by turns"} <= set(cases)
    singles = {
        int(call[1][0]) for case in cases.values() for call in case.calls if len(call[1]) == 1
    }
    assert set(range(76, 128)) <= singles
    lengths = {len(call[1]) for case in cases.values() for call in case.calls}
    assert any(64 <= length <= 100 for length in lengths)
