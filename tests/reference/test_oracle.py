"""The float64 oracle: near the float32 model, and far from a faulty one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from harness.reference.eager import EagerModel
from harness.reference.oracle import exact_twin
from harness.synthesis import Call, Recorder, Speech

# Greatest difference over the greatest reference value, of the canonical speech: about four
# times what was measured (0, 1.4e-8, 1.0e-6, 2.1e-7, 4.8e-7, 1.2e-6), because the order of
# float32 sums varies with the processor's BLAS.
ALLOWED = {
    "token_embedding": 0.0,
    "audio_token_embedding": 6e-8,
    "text_decoder": 4e-6,
    "semantic_head": 1e-6,
    "predict_velocity": 2e-6,
    "codec": 5e-6,
}


@pytest.fixture(scope="module")
def oracle(tiny_model: Any) -> EagerModel:
    return exact_twin(tiny_model)


def distance(calls: tuple[Call, ...], other: EagerModel) -> float:
    """Greatest difference of `other` from the recorded outputs, relative to their greatest."""
    other.reset("replay")
    worst = scale = 0.0
    for call in calls:
        (output,) = other.call(call.method, call.inputs, state="replay")
        finite = np.isfinite(output)
        assert np.array_equal(finite, np.isfinite(call.output))
        worst = max(worst, float(np.abs(output[finite] - call.output[finite]).max()))
        scale = max(scale, float(np.abs(output[finite]).max()))
    return worst / scale


@pytest.mark.parametrize("method", list(ALLOWED))
def test_eager_float32_agrees_with_the_oracle(
    method: str, oracle: EagerModel, tiny_speech: tuple[Speech, Recorder]
) -> None:
    assert distance(tiny_speech[1].calls(method), oracle) <= ALLOWED[method]


@pytest.mark.parametrize("method", list(ALLOWED))
def test_outputs_are_float64(
    method: str, oracle: EagerModel, tiny_speech: tuple[Speech, Recorder]
) -> None:
    call = tiny_speech[1].calls(method)[0]
    (output,) = oracle.call(method, call.inputs)
    assert output.dtype == np.float64


def test_prefill_equals_single_steps_to_float64(
    oracle: EagerModel, tiny_speech: tuple[Speech, Recorder]
) -> None:
    x, positions = tiny_speech[1].calls("text_decoder")[0].inputs
    (whole,) = oracle.call("text_decoder", [x, positions], state="whole")
    steps = [
        oracle.call("text_decoder", [x[:, i : i + 1], positions[i : i + 1]], state="steps")[0]
        for i in range(len(positions))
    ]
    assert np.abs(np.concatenate(steps, 1) - whole).max() < 1e-12


def test_the_model_is_left_as_it_was(tiny_model: Any, oracle: EagerModel) -> None:
    assert {parameter.dtype for parameter in tiny_model.parameters()} == {torch.float32}
    assert tiny_model.flow_head._timesteps.dtype == torch.float32


def half_the_gain(model: Any) -> None:
    model.decoder.norm.weight.data.mul_(0.5)


def split_half_rope(model: Any) -> None:
    half = model.config.head_dim // 2
    for name in ("freqs_cos", "freqs_sin"):
        table = getattr(model.decoder, name)
        setattr(model.decoder, name, table[:, ::2].repeat(1, 2)[:, : 2 * half].contiguous())


def another_power_of_the_slopes(model: Any) -> None:
    for module in model.codec_decoder.modules():
        if hasattr(module, "alibi_slopes"):
            module.alibi_slopes = module.alibi_slopes * 4


def steps_in_reverse(model: Any) -> None:
    model.flow_head._timesteps = model.flow_head._timesteps.flip(0)


def louder_end(model: Any) -> None:
    model.flow_head.semantic_codebook_output.weight.data[1] *= 1.01


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("text_decoder", half_the_gain),
        ("text_decoder", split_half_rope),
        ("codec", another_power_of_the_slopes),
        ("predict_velocity", steps_in_reverse),
        ("semantic_head", louder_end),
    ],
)
def test_a_faulty_model_is_far_from_the_oracle(
    method: str, fault: Any, tiny_model: Any, oracle: EagerModel,
    tiny_speech: tuple[Speech, Recorder],
) -> None:  # fmt: skip
    faulty = copy.deepcopy(tiny_model)
    fault(faulty)
    recorder = Recorder(EagerModel(faulty))
    for call in tiny_speech[1].calls(method):
        recorder.call(method, call.inputs, state="replay")
    assert distance(recorder.calls(method), oracle) > 100 * ALLOWED[method]
