"""Quantised layers are those that were asked for, and hold what the checkpoint says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fixtures.contents import method_of
from harness.checkpoint import Checkpoint
from harness.checkpoint.loading import load_model
from harness.compare import Status
from harness.methods.precision import PRECISIONS, parse_precision
from harness.parity.judges.contents import judge_quantization
from harness.pte.facts import MethodFacts, ProgramFacts
from harness.reference.constants import expected_constants
from harness.reference.quantize import quantize_in_place

SHIPPED = "bf16-4w8w"


def test_a_sound_method_says_what_it_found(expected_in: Any, facts_in: Any) -> None:
    verdict = judge_quantization(
        method_of("predict_velocity"), expected_in(SHIPPED), facts_in(SHIPPED, "model.pte")
    )

    assert verdict.status is Status.PASS
    assert verdict.summary == (
        "17 layers 4-bit in groups of 32, at least 21.4 dB of each weight kept; "
        "skipped: flow_head.input_projection"
    )


@pytest.mark.parametrize(
    ("options", "method", "gate"),
    [
        ({"qlinear": "8w"}, "semantic_head", "other bits, group or shape"),
        ({"qlinear_group_size": 64}, "text_decoder", "other bits, group or shape"),
        ({"qembedding_group_size": 32}, "token_embedding", "other bits, group or shape"),
        ({"decoder_qlinear_scope": "attention"}, "text_decoder", "quantised unasked"),
    ],
)
def test_another_quantisation_than_asked_is_red(
    options: Any, method: str, gate: str, tiny: Checkpoint, facts_in: Any
) -> None:
    precision = parse_precision(SHIPPED, **options)
    model = load_model(tiny, max_seq_len=128, dtype="bfloat16")
    quantize_in_place(model, PRECISIONS[SHIPPED], tiny.digest)
    expected = expected_constants(model, precision, tiny)

    verdict = judge_quantization(method_of(method), expected, facts_in(SHIPPED, "model.pte"))

    assert verdict.status is Status.FAIL
    assert gate in {gate.name for gate in verdict.failed_gates}


def test_a_layer_left_unquantised_is_red(expected_in: Any, facts_in: Any) -> None:
    whole = facts_in(SHIPPED, "model.pte")
    method = whole.methods["predict_velocity"]
    layers = tuple(c for c in method.layers if c.name != "flow_head.llm_projection")
    facts = with_method(whole, "predict_velocity", replace(method, layers=layers))

    verdict = judge_quantization(method_of("predict_velocity"), expected_in(SHIPPED), facts)

    assert verdict.status is Status.FAIL
    assert verdict.summary == "left unquantised: flow_head.llm_projection"


def test_doubled_scales_that_eager_shares_are_red(tiny: Checkpoint, facts_in: Any) -> None:
    """A quantiser at fault makes both sides wrong alike: only the checkpoint tells."""
    model = load_model(tiny, max_seq_len=128, dtype="bfloat16")
    quantize_in_place(model, PRECISIONS[SHIPPED], tiny.digest)
    weight = model.decoder.layers[1].attention.wv.weight
    weight.scale = weight.scale * 2

    verdict = judge_quantization(
        method_of("text_decoder"),
        expected_constants(model, PRECISIONS[SHIPPED], tiny),
        facts_in(SHIPPED, "model.pte"),
    )

    assert verdict.status is Status.FAIL
    (gate,) = verdict.failed_gates
    assert (gate.name, gate.where) == ("noise", "decoder.layers.1.attention.wv")


def with_method(facts: ProgramFacts, name: str, method: MethodFacts) -> ProgramFacts:
    return replace(facts, methods={**facts.methods, name: method})
