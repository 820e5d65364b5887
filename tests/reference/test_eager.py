"""Upstream's model behind the executor's shape."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from harness.checkpoint import Checkpoint
from harness.checkpoint.loading import load_model
from harness.errors import InputError
from harness.reference.eager import EagerModel
from harness.synthesis import Recorder, Speech


@pytest.fixture
def eager(tiny_model: Any) -> EagerModel:
    return EagerModel(tiny_model)


def embeds(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, length, 256)).astype(np.float32)


def positions(start: int, length: int) -> np.ndarray:
    return np.arange(start, start + length)


def test_it_has_the_six_methods_in_order(eager: EagerModel) -> None:
    assert eager.methods() == (
        "token_embedding", "audio_token_embedding", "text_decoder",
        "semantic_head", "predict_velocity", "codec",
    )  # fmt: skip


@pytest.mark.parametrize(
    "method",
    ["token_embedding", "audio_token_embedding", "semantic_head", "predict_velocity", "codec"],
)
def test_it_does_what_upstreams_export_wrappers_do(
    method: str, tiny_model: Any, tiny_speech: tuple[Speech, Recorder]
) -> None:
    from executorch.examples.models.voxtral_tts import export_voxtral_tts as upstream

    wrapper = {
        "token_embedding": upstream.TokenEmbeddingExport,
        "audio_token_embedding": upstream.AudioTokenEmbeddingExport,
        "semantic_head": upstream.SemanticHeadExport,
        "predict_velocity": upstream.PredictVelocityExport,
        "codec": upstream.CodecDecoderExport,
    }[method](tiny_model)
    call = tiny_speech[1].calls(method)[0]
    with torch.inference_mode():
        expected = wrapper(*(torch.from_numpy(value.copy()) for value in call.inputs))
    assert np.array_equal(call.output, expected.numpy())


def test_semantic_head_masks_empty_and_padding(eager: EagerModel) -> None:
    (logits,) = eager.call("semantic_head", [np.ones((1, 256), np.float32)])
    assert np.isneginf(logits[0, 0])
    assert np.isfinite(logits[0, 1:514]).all()
    assert np.isneginf(logits[0, 514:]).all()


def test_prefill_equals_single_steps(eager: EagerModel) -> None:
    x = embeds(9)
    (whole,) = eager.call("text_decoder", [x, positions(0, 9)], state="whole")
    steps = [
        eager.call("text_decoder", [x[:, i : i + 1], positions(i, 1)], state="steps")[0]
        for i in range(9)
    ]
    np.testing.assert_allclose(np.concatenate(steps, 1), whole, atol=2e-5)


def test_states_do_not_see_one_another(eager: EagerModel) -> None:
    (alone,) = eager.call("text_decoder", [embeds(4), positions(0, 4)], state="a")
    eager.call("text_decoder", [embeds(4, seed=1), positions(0, 4)], state="b")
    (after_a,) = eager.call("text_decoder", [embeds(1, seed=2), positions(4, 1)], state="a")
    (after_b,) = eager.call("text_decoder", [embeds(1, seed=2), positions(4, 1)], state="b")
    (again,) = eager.call("text_decoder", [embeds(4), positions(0, 4)], state="c")
    assert np.abs(after_a - after_b).max() > 0.01
    assert np.array_equal(again, alone)


def test_reset_forgets_the_cache(eager: EagerModel) -> None:
    (fresh,) = eager.call("text_decoder", [embeds(1), positions(3, 1)], state="a")
    eager.call("text_decoder", [embeds(3, seed=1), positions(0, 3)], state="a")
    (used,) = eager.call("text_decoder", [embeds(1), positions(3, 1)], state="a")
    eager.reset("a")
    (reset,) = eager.call("text_decoder", [embeds(1), positions(3, 1)], state="a")
    assert np.abs(used - fresh).max() > 0.01
    assert np.array_equal(reset, fresh)


def test_the_models_own_cache_stays_zero(eager: EagerModel, tiny_model: Any) -> None:
    eager.call("text_decoder", [embeds(5), positions(0, 5)])
    for layer in tiny_model.decoder.layers:
        assert not layer.attention.kv_cache.k_cache.any()
        assert not layer.attention.kv_cache.v_cache.any()


def test_an_output_is_not_overwritten_by_the_next_call(eager: EagerModel) -> None:
    (first,) = eager.call("token_embedding", [np.array([[1, 2]])])
    kept = first.copy()
    first[:] = 0
    (second,) = eager.call("token_embedding", [np.array([[1, 2]])])
    assert np.array_equal(second, kept)


@pytest.mark.parametrize(("start", "length"), [(0, 129), (127, 2), (128, 1), (-1, 1)])
def test_a_write_beyond_the_cache_is_refused(eager: EagerModel, start: int, length: int) -> None:
    with pytest.raises(InputError, match=r"would write positions .* of a KV cache of 128"):
        eager.call("text_decoder", [embeds(length), positions(start, length)])


def test_the_last_position_is_allowed(eager: EagerModel) -> None:
    (output,) = eager.call("text_decoder", [embeds(128), positions(0, 128)])
    assert np.isfinite(output).all()


@pytest.mark.parametrize(
    ("method", "inputs", "message"),
    [
        ("decode", [], "method must be one of token_embedding, .*codec"),
        ("codec", [], r"codec takes 1 inputs \(got 0\)"),
        ("codec", [np.zeros((37, 4), np.int64)], r"must have rank 3 \(got shape \(37, 4\)\)"),
        ("codec", [np.zeros((1, 37, 4), np.float32)], r"must be int64 \(got float32\)"),
        ("codec", [np.zeros((1, 30, 4), np.int64)], r"codec refuses inputs of shape \(1, 30, 4\)"),
        ("semantic_head", [np.zeros((1, 256))], r"hidden must be float32 \(got float64\)"),
        ("semantic_head", [np.zeros((1, 256), np.int64)], r"must be float32 \(got int64\)"),
        ("semantic_head", [np.zeros((1, 255), np.float32)], "semantic_head refuses inputs"),
        ("semantic_head", [np.zeros((1, 256), "U1")], "has a type that torch does not know"),
        ("token_embedding", [np.array([[8192]])], "token_embedding refuses inputs of shape"),
        ("text_decoder", [embeds(2), positions(0, 3)], r"one cache_position a token \(got 3"),
        ("text_decoder", [embeds(2), np.array([4, 4])], r"count up by one \(got \[4, 4\]\)"),
    ],
)
def test_wrong_inputs_are_refused(
    eager: EagerModel, method: str, inputs: list[np.ndarray], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        eager.call(method, inputs)


def test_bfloat16_goes_in_and_comes_out(tiny: Checkpoint, eager: EagerModel) -> None:
    half = EagerModel(load_model(tiny, max_seq_len=16, dtype="bfloat16"))
    x = embeds(3).astype(ml_dtypes.bfloat16)
    (rough,) = half.call("text_decoder", [x, positions(0, 3)])
    (fine,) = eager.call("text_decoder", [x, positions(0, 3)])
    assert rough.dtype == ml_dtypes.bfloat16
    assert fine.dtype == np.float32
    assert 0 < np.abs(rough.astype(np.float32) - fine).max() < 0.2


def test_a_call_writes_nothing(eager: EagerModel, capfd: pytest.CaptureFixture[str]) -> None:
    eager.call("text_decoder", [embeds(3), positions(0, 3)])
    assert capfd.readouterr() == ("", "")


def test_the_fingerprint_says_what_ran(eager: EagerModel) -> None:
    assert eager.fingerprint.executor == "eager"
    assert eager.fingerprint.versions["torch"] == torch.__version__
    assert eager.fingerprint.notes == ("float32",)
