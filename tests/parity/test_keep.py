"""An eager run comes back from the cache as it went in, and only for what made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from harness.parity.keep import kept_run, load_run, save_run

from harness.methods.cases import Case
from harness.parity.evidence import EagerRun, Evidence, Script
from harness.synthesis import Speech
from tests.methods.test_spec import SIZES

SCRIPT = Script("Hello", "neutral_female", 42, 40)


def run(value: float = 1.5) -> EagerRun:
    speech = Speech(
        prompt_ids=np.array([1, 25]),
        codes=np.array([[7, 8], [2, 3]]),
        ended=True,
        waveform=np.array([0.25, -0.5], np.float32),
        argmax_margins=np.array([0.5], np.float32),
        runners_up=np.array([4], np.int64),
        rounding_margins=np.array([[0.125]], np.float32),
    )
    hidden = np.array([[value, -2.0]], ml_dtypes.bfloat16)
    case = Case("semantic_head", "random", ((hidden,), (hidden * 2,)))
    logits = np.array([[-np.inf, 1.0]], np.float32)
    return EagerRun(speech, {"semantic_head": (Evidence(case, (logits, logits + 1)),)})


def assert_same(found: EagerRun, expected: EagerRun) -> None:
    for field in dataclasses.fields(Speech):
        np.testing.assert_array_equal(
            getattr(found.speech, field.name), getattr(expected.speech, field.name)
        )
    assert found.evidence.keys() == expected.evidence.keys()
    for method, items in expected.evidence.items():
        for ours, theirs in zip(found.evidence[method], items, strict=True):
            assert ours.case.label == theirs.case.label
            for a, b in zip(ours.case.calls, theirs.case.calls, strict=True):
                assert [x.dtype for x in a] == [x.dtype for x in b]
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(ours.outputs, theirs.outputs)


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    save_run(tmp_path / "run.npz", run())

    assert_same(load_run(tmp_path / "run.npz"), run())


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))
    return []


def ask(made: list[str], weights: str = "w", script: Script = SCRIPT, **options: bool) -> EagerRun:
    def make() -> EagerRun:
        made.append(weights)
        return run()

    return kept_run(weights, "v", SIZES, script, {"base": "fp32"}, make, **options)


def test_the_same_run_is_made_once(made: list[str]) -> None:
    assert_same(ask(made), run())
    assert_same(ask(made), run())
    assert made == ["w"]


def test_other_weights_or_words_are_another_run(made: list[str]) -> None:
    ask(made)
    ask(made, weights="changed")
    ask(made, script=dataclasses.replace(SCRIPT, text="Bye"))
    assert len(made) == 3


def test_fresh_runs_again(made: list[str]) -> None:
    ask(made)
    ask(made, fresh=True)
    assert len(made) == 2


def test_a_damaged_copy_is_made_again(made: list[str], tmp_path: Path) -> None:
    ask(made)
    (file,) = (tmp_path / "store" / "eager").glob("*/run.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)

    assert_same(ask(made), run())
    assert len(made) == 2


def test_a_shortened_copy_is_made_again(made: list[str], tmp_path: Path) -> None:
    ask(made)
    (file,) = (tmp_path / "store" / "eager").glob("*/run.npz")
    file.write_bytes(file.read_bytes()[:100])

    assert_same(ask(made), run())
    assert len(made) == 2
