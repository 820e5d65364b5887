"""Published figures: recognised by the checkpoint, compared with a run, never blessed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.compare import Status, WaveformStatistics
from harness.errors import InputError
from harness.golden import Golden, default_root
from harness.golden.anchor import Anchor, find_anchor, judge_anchor, read_anchors

PUBLISHED = {
    "dim": 3072, "n_layers": 26, "hidden_dim": 9216, "vocab_size": 131072,
    "multimodal": {"audio_tokenizer_args": {"dim": 1024}},
}  # fmt: skip
VOICES = ("neutral_female", "neutral_male", "casual_female", "casual_male", "cheerful_female",
          "de_female", "de_male", "fr_female", "fr_male")  # fmt: skip


@pytest.fixture
def anchor() -> Anchor:
    (found,) = read_anchors(default_root())
    return found


@pytest.fixture
def stand_in(run: Golden) -> WaveformStatistics:
    """What a run with the published weights would have, were it like the published one."""
    return dataclasses.replace(
        run.statistics, frames=43, duration=3.44, samples=82560, peak=0.42575, clipped=0
    )


def test_the_published_checkpoint_is_recognised(anchor: Anchor) -> None:
    assert find_anchor([anchor], PUBLISHED, VOICES) is anchor


def test_a_synthetic_checkpoint_of_the_same_sizes_is_not(anchor: Anchor) -> None:
    assert find_anchor([anchor], PUBLISHED, ("neutral_female", "casual_male")) is None


@pytest.mark.parametrize(
    "change", [{"dim": 256}, {"n_layers": 25}, {"multimodal": {}}, {"multimodal": None}]
)
def test_another_model_is_not(anchor: Anchor, change: dict[str, object]) -> None:
    assert find_anchor([anchor], {**PUBLISHED, **change}, VOICES) is None


def test_the_published_figures_pass(anchor: Anchor, stand_in: WaveformStatistics) -> None:
    verdict = judge_anchor(anchor, stand_in, transcript="hello how are you today", rtf=2.0)
    assert verdict.status is Status.PASS
    assert verdict.metrics["rtf.old"] == 0.811
    assert "3.44 s, peak 0.42575, 0 clipped; published: 3.44 s, 0.42575, 0" in verdict.summary


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"duration": 2.4}, "duration"),
        ({"duration": 20.48}, "duration"),
        ({"peak": 0.1}, "peak"),
        ({"peak": 1.0}, "peak"),
        ({"clipped": 3}, "clipped"),
        ({"peak": float("nan")}, "peak"),
    ],
)
def test_a_run_unlike_it_fails(
    anchor: Anchor, stand_in: WaveformStatistics, change: dict[str, float], gate: str
) -> None:
    verdict = judge_anchor(anchor, dataclasses.replace(stand_in, **change))
    assert verdict.status is Status.FAIL
    assert [failed.name for failed in verdict.failed_gates] == [gate]


def test_other_words_fail(anchor: Anchor, stand_in: WaveformStatistics) -> None:
    verdict = judge_anchor(anchor, stand_in, transcript="yellow how are you today")
    assert [failed.name for failed in verdict.failed_gates] == ["transcript"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({"voices": [], "extra": 1}), "[" * 10**5]
)
def test_a_damaged_anchor_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "external").mkdir()
    (tmp_path / "external" / "m.json").write_text(text)
    with pytest.raises(InputError, match=r"anchor .*m\.json is (damaged|not readable)"):
        read_anchors(tmp_path)
