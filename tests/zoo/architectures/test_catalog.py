"""Which architectures there are, and a model's weights."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from harness.errors import InputError
from harness.zoo.architectures.architecture import KINDS, Architecture
from harness.zoo.architectures.building import draw_weights, inputs_of
from harness.zoo.architectures.catalog import CATALOG, named


def test_there_are_sixty_architectures_of_every_kind() -> None:
    assert len({architecture.model_type for architecture in CATALOG}) >= 60
    assert len({architecture.name for architecture in CATALOG}) == len(CATALOG)
    assert {architecture.kind for architecture in CATALOG} == set(KINDS)


def test_architectures_are_chosen_by_name_and_kind() -> None:
    chosen = named(["llama", "vision"])
    assert chosen[0].name == "llama"
    assert {architecture.kind for architecture in chosen[1:]} == {"vision"}
    assert len(named([])) == len(CATALOG)
    with pytest.raises(InputError, match=r"no architecture 'lama'.*--list"):
        named(["lama"])


def small(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_weights_are_the_same_bytes_whatever_torch_draws() -> None:
    digests = []
    for seed in (0, 2):
        model = small(seed)
        draw_weights(model, small(seed + 1))
        state = model.state_dict()
        assert state["0.bias"].abs().max() < 0.5
        assert state["1.running_mean"].abs().min() > 0
        assert state["1.running_var"].min() > 1
        assert (state["1.weight"] - 1).abs().max() < 0.5
        data = b"".join(value.numpy().tobytes() for value in state.values())
        digests.append(hashlib.sha256(data).hexdigest()[:16])
    assert digests == ["5306f3906c15f156"] * 2


def test_a_text_is_padded_where_it_is_asked_for() -> None:
    for padded, expected in ((0, [1] * 6), (2, [1, 1, 1, 1, 0, 0]), (-2, [0, 0, 1, 1, 1, 1])):
        inputs = inputs_of(Architecture("x", "X", padded=padded, kind="decoder"), torch.float32)
        assert inputs["attention_mask"].tolist() == [expected, [1] * 6]
        assert ((inputs["input_ids"] == 0) == (inputs["attention_mask"] == 0)).all()


def test_inputs_of_ones_own_have_their_shapes_and_types() -> None:
    own = {"ids input_ids": (2, 5), "pixel_values": (1, 3, 4, 4)}
    inputs = inputs_of(Architecture("x", "X", inputs=own), torch.bfloat16)
    assert inputs["input_ids"].shape == (2, 5)
    assert inputs["input_ids"].dtype == torch.int64
    assert inputs["pixel_values"].shape == (1, 3, 4, 4)
    assert inputs["pixel_values"].dtype == torch.bfloat16
