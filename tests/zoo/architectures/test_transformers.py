"""Real models through transformers' own exporter; `nox -s zoo` runs these."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from harness.zoo.architectures.architecture import Architecture
from harness.zoo.architectures.building import build, inputs_of
from harness.zoo.architectures.catalog import CATALOG, named
from harness.zoo.architectures.judging import Case, judged_case
from harness.zoo.trial import Outcome, Verdict

pytestmark = pytest.mark.zoo


@pytest.fixture(autouse=True)
def _transformers() -> None:
    if importlib.util.find_spec("transformers") is None:
        pytest.fail("transformers is not here; `nox -s zoo` brings it")


def judged(name: str, precision: str, phase: str) -> Outcome:
    """In the corrected lowering."""
    (architecture,) = named([name])
    return judged_case(Case(architecture, precision, phase))[1]


@pytest.mark.parametrize("architecture", CATALOG, ids=lambda architecture: architecture.name)
def test_every_model_has_the_same_bytes_whatever_torch_draws(architecture: Architecture) -> None:
    found = []
    for seed in (1, 3):
        model = build(architecture, torch.float32, seed)
        tensors = (*model.named_parameters(), *model.named_buffers())
        found.append({name: tensor.clone() for name, tensor in tensors})
    assert {n for n, t in found[0].items() if not torch.equal(t, found[1][n])} == set()
    with torch.no_grad():
        inputs = inputs_of(architecture, torch.float32)
        if architecture.phases == ("forward",):
            model(**inputs)
        else:
            model.generate(**inputs, max_new_tokens=2)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_decoder_is_whole(precision: str, phase: str) -> None:
    assert judged("llama", precision, phase) == Outcome(Verdict.RIGHT)


def test_an_encoder_is_partly_delegated() -> None:
    found = judged("bert", "fp32", "forward")
    assert found.verdict is Verdict.OUTSIDE
    assert "gather" in found.detail


def test_padded_rows_do_not_matter() -> None:
    assert judged("llama/left-padded", "fp32", "prefill") == Outcome(Verdict.RIGHT)


def test_what_the_exporter_refuses_is_told() -> None:
    found = judged("longformer", "fp32", "forward")
    assert found.verdict is Verdict.NOT_EXPORTED
    assert "data-dependent" in found.detail


def test_an_argument_that_is_none_is_no_input() -> None:
    (architecture,) = named(["falcon_mamba"])
    stock, corrected = judged_case(Case(architecture, "fp32", "decode"))
    assert stock.verdict is Verdict.NOT_LOWERED
    assert "ConstantArgument(name='attention_mask', value=None)" in stock.detail
    assert corrected.verdict is Verdict.OUTSIDE
