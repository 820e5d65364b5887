"""Weights on their way into torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.checkpoint import Checkpoint, open_checkpoint
from harness.checkpoint.loading import load_model
from harness.checkpoint.safetensors_file import read_header
from harness.errors import CheckpointError, InputError


def test_the_model_is_frozen_and_in_eval_mode(tiny_model: Any) -> None:
    assert not tiny_model.training
    assert not any(parameter.requires_grad for parameter in tiny_model.parameters())
    assert tiny_model.config.max_seq_len == 128


def test_the_model_holds_the_weights_of_the_file(tiny: Checkpoint, tiny_model: Any) -> None:
    from safetensors import safe_open

    with safe_open(tiny.weights, framework="pt") as file:
        stored = file.get_tensor("layers.1.feed_forward.w2.weight").float()
    assert torch.equal(tiny_model.decoder.layers[1].feed_forward.w2.weight, stored)


def test_loading_prints_nothing(tiny: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(tiny, max_seq_len=8)
    assert capfd.readouterr().out == ""


def test_bfloat16_keeps_the_tables_in_float32(tiny: Checkpoint) -> None:
    model = load_model(tiny, max_seq_len=8, dtype="bfloat16")
    assert model.decoder.norm.weight.dtype == torch.bfloat16
    assert model.flow_head._timesteps.dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_weight_is_refused_and_named(directory: Path, value: float) -> None:
    path = directory / "consolidated.safetensors"
    place = read_header(path)["norm.weight"].begin
    data = bytearray(path.read_bytes())
    data[place : place + 2] = torch.tensor(value).bfloat16().view(torch.int16).numpy().tobytes()
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"tensor norm\.weight holds 1 NaN or infinite"):
        load_model(open_checkpoint(directory), max_seq_len=8)


def test_what_upstream_only_warns_of_is_an_error(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executorch.examples.models.voxtral_tts import model as upstream

    known = upstream._map_checkpoint_key
    monkeypatch.setattr(
        upstream,
        "_map_checkpoint_key",
        lambda key: None if key == "layers.0.attention.wq.weight" else known(key),
    )
    with pytest.raises(CheckpointError, match=r"decoder\.layers\.0\.attention\.wq\.weight"):
        load_model(tiny, max_seq_len=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_seq_len": 0}, r"max_seq_len must be positive \(got 0\)"),
        ({"max_seq_len": 8, "dtype": "bf17"}, r"dtype must be one of .* \(got 'bf17'\)"),
    ],
)
def test_senseless_arguments_are_refused(
    tiny: Checkpoint, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_model(tiny, **arguments)
