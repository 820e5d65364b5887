"""Faults that eager and an export share: eager is made to have each, and its pin is red."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.exports import Line
from harness.compare import Status, Verdict
from harness.errors import InputError
from harness.golden.pins import DRIFT
from harness.parity import record as module
from harness.parity.blessing import bless_pins
from harness.parity.check import Checked, open_models
from harness.parity.judges.pins import EXPECTED, find_pins, judge_pins
from harness.parity.plan import Plan
from harness.reference.eager import EagerModel
from harness.reference.models import Models
from harness.reference.semantics import EXECUTORCH
from harness.synthesis import frames


def weaker_codec(models: Models, _: pytest.MonkeyPatch) -> None:
    convolution = models.eager_model.codec_decoder.output_proj.conv
    convolution.weight.data = convolution.weight.data * 0.9999


def no_padding_mask(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    head = models.eager_model.flow_head

    def unmasked(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = head.semantic_codebook_output(hidden).float()
        logits[:, 0] = -torch.inf
        return logits

    monkeypatch.setattr(head, "semantic_logits", unmasked)


def steeper_alibi(models: Models, _: pytest.MonkeyPatch) -> None:
    for part in models.eager_model.codec_decoder.modules():
        if hasattr(part, "alibi_slopes"):
            part.alibi_slopes = part.alibi_slopes * 2 ** (8 / part.n_heads)


def more_levels(models: Models, _: pytest.MonkeyPatch) -> None:
    models.eager_model.codec_decoder.quantizer.acoustic_codebook.n_levels = 22


def more_levels_in_the_loop(_: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled = frames.scaled_levels
    monkeypatch.setattr(frames, "scaled_levels", lambda x, levels: scaled(x, levels + 1))
    monkeypatch.setattr(module, "scaled_levels", frames.scaled_levels)


def rounding_to_even(_: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "round_levels", lambda x, _: np.rint(x).astype(np.int64))


def special_codes_kept(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dataclasses.replace(EXECUTORCH, specials="kept")
    monkeypatch.setitem(vars(models), "eager", EagerModel(models.eager_model, kept))


def no_seed_step(_: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = property(lambda plan: dataclasses.replace(plan.utterance, seed_step=False))
    monkeypatch.setattr(Plan, "spoken", spoken)


Fault = Callable[[Models, pytest.MonkeyPatch], None]

FAULTS: dict[Fault, str] = {
    weaker_codec: "codec",
    no_padding_mask: "semantic_head",
    steeper_alibi: "codec",
    more_levels: "codec",
    more_levels_in_the_loop: "speech",
    rounding_to_even: "speech",
    special_codes_kept: "codec",
    no_seed_step: "speech",
}
"""Each with the subject whose pin must be red."""

BELOW_BF16 = {weaker_codec}
"""A gain of 1 − 1e-4 is less than one step of bf16, and less than what CPUs differ by in it."""


def recorded(line: Line, fault: Fault | None, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    """Verdicts on eager with a fault, recorded anew with models of its own."""
    models = open_models(line.request)
    if fault is not None:
        fault(models, monkeypatch)
    evidence = module._record(line.plan, models, lambda text: None)
    return judge_pins(line.plan, evidence, find_pins(line.plan))


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_eager_as_it_is_passes(
    precision: str, parity_in: Callable[[str], Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = recorded(parity_in(precision), None, monkeypatch)
    assert len(verdicts) == 7
    assert {verdict.status for verdict in verdicts} == {Status.PASS}
    assert {(verdict.kind, verdict.case) for verdict in verdicts} == {("golden", "eager, pinned")}


SOON = {(weaker_codec, "fp32"), (no_seed_step, "bf16")}
"""A fault of the model and one of the loop; `nox -s slow` has all of them in each precision."""


def _pairs() -> Iterator[Any]:
    for fault in FAULTS:
        for precision in DRIFT:
            marks = () if (fault, precision) in SOON else (pytest.mark.slow,)
            yield pytest.param(fault, precision, marks=marks, id=f"{fault.__name__}-{precision}")


@pytest.mark.parametrize(("fault", "precision"), _pairs())
def test_a_fault_that_eager_shares_is_red(
    fault: Fault,
    precision: str,
    parity_in: Callable[[str], Line],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdicts = recorded(parity_in(precision), fault, monkeypatch)
    red = {verdict.subject for verdict in verdicts if verdict.status is Status.FAIL}
    if precision == "bf16" and fault in BELOW_BF16:
        assert red == set()
    else:
        assert FAULTS[fault] in red


def test_pins_that_should_exist_do(tiny_line: Line) -> None:
    for name in EXPECTED:
        facts = dataclasses.replace(tiny_line.plan.checkpoint, name=name)
        for precision in DRIFT:
            base = dataclasses.replace(tiny_line.plan.precision, base=precision)
            plan = dataclasses.replace(tiny_line.plan, checkpoint=facts, precision=base)
            assert find_pins(plan) is not None, (name, precision)


def test_missing_pins_are_unjudged_where_they_are_expected(tiny_line: Line) -> None:
    (verdict,) = judge_pins(tiny_line.plan, tiny_line.evidence, None)
    assert verdict.status is Status.UNJUDGED
    assert "golden bless --checkpoint tiny --precision fp32" in verdict.summary
    facts = dataclasses.replace(tiny_line.plan.checkpoint, name="full")
    plan = dataclasses.replace(tiny_line.plan, checkpoint=facts)
    assert judge_pins(plan, tiny_line.evidence, None) == []


@pytest.mark.parametrize("change", [{"usual": False}, {"preset": None}])
def test_an_unusual_run_is_not_judged(tiny_line: Line, change: dict[str, Any]) -> None:
    plan = dataclasses.replace(tiny_line.plan, **change)
    assert judge_pins(plan, tiny_line.evidence, find_pins(tiny_line.plan)) == []
    assert find_pins(plan) is None


def test_only_the_methods_asked_for_are_judged(tiny_line: Line) -> None:
    plan = dataclasses.replace(tiny_line.plan, methods=("codec",))
    verdicts = judge_pins(plan, tiny_line.evidence, find_pins(plan))
    assert [verdict.subject for verdict in verdicts] == ["codec"]


def test_only_presets_are_pinned(tiny_line: Line) -> None:
    plan = dataclasses.replace(tiny_line.plan, preset=None)
    checked = Checked(plan, tiny_line.evidence, tiny_line.artifacts, tiny_line.observation, ())
    with pytest.raises(InputError, match="of a preset"):
        bless_pins(checked, "a reason of some length")


def test_files_of_other_capacities_are_not_held_against_pins(tiny_line: Line) -> None:
    """`export` takes upstream's capacities, in which the cases of eager are others."""
    sizes = dataclasses.replace(tiny_line.plan.sizes, max_codec_frames=256)
    plan = dataclasses.replace(tiny_line.plan, sizes=sizes)
    assert find_pins(tiny_line.plan) is not None
    assert find_pins(plan) is None
    assert judge_pins(plan, tiny_line.evidence, None) == []
