"""What is no fault stays green: other routes and orders, other texts, weights of unseen seeds."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.budget.regimes import EMULATED
from harness.checkpoint.generate import synthesize
from harness.checkpoint.presets import PRESETS
from harness.compare import Status
from harness.compare.verdict import Verdict
from harness.parity import Request, check
from harness.synthesis import Utterance
from tests.mutate.bench import EVERY, Bench
from tests.mutate.benign import Benign

pytestmark = pytest.mark.mutate


def complaints(verdicts: tuple[Verdict, ...]) -> list[str]:
    """Whatever is not green."""
    return [f"{v.subject} · {v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS]


def test_harmless_change(benign: Benign, precision: str, benches: Callable[..., Bench]) -> None:
    verdicts = benign.run(benches(whole=benign.whole))

    assert verdicts
    assert complaints(verdicts) == []


UTTERANCES = {
    "a digit": Utterance("The year 1969 was warm.", seed=7),
    "a question": Utterance("Who is there?", seed=3),
    "another voice": Utterance(voice="casual_male"),
    "another seed": Utterance(seed=1234567),
    "a long word": Utterance("Incomprehensibilities, she said.", seed=99),
}


@pytest.mark.parametrize("precision", EVERY)
@pytest.mark.parametrize("name", UTTERANCES)
def test_other_utterance(name: str, precision: str) -> None:
    request = Request(precision=precision, executor="portable", utterance=UTTERANCES[name])

    assert complaints(check(request).verdicts) == []


@pytest.mark.parametrize("precision", EVERY)
@pytest.mark.parametrize("regime", EMULATED)
def test_emulated_regime(regime: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the regime's own budget, on an utterance that it was not measured on."""
    # Which product flips a code is another question, and takes longer than all others together.
    monkeypatch.setattr(sys.modules["harness.parity.check"], "attribute", lambda *given: ())
    request = Request(
        precision=precision, executor="portable", regime=regime, utterance=UTTERANCES["a question"]
    )

    # Which codes another arithmetic chooses is told, and judged by nobody.
    assert complaints(tuple(v for v in check(request).verdicts if v.kind != "regime")) == []


@pytest.mark.parametrize(
    ("seed", "precision"),
    [(1001, "fp32"), (1002, "fp32"), (1003, "bf16"), (1004, "bf16"), (1005, "bf16-4w8w")],
)
def test_checkpoint_of_an_unseen_seed(seed: int, precision: str, tmp_path: Path) -> None:
    preset = dataclasses.replace(PRESETS["tiny"], name=f"seed {seed}", seed=seed)
    directory = tmp_path / "checkpoint"
    synthesize(preset, directory)
    request = Request(
        str(directory), precision=precision, executor="portable",
        max_seq_len=128, max_codec_frames=40,
    )  # fmt: skip

    assert complaints(check(request).verdicts) == []
