from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.checkpoint import Checkpoint
from harness.checkpoint.loading import load_model
from harness.methods import METHODS, Dimensions
from harness.methods.cases import edge_cases
from harness.reference.eager import EagerModel


@pytest.fixture(scope="module")
def mapped(tiny: Checkpoint) -> Any:
    return load_model(tiny, max_seq_len=32, mapped=True)


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_a_mapped_model_computes_what_a_loaded_one_does(
    tiny: Checkpoint, mapped: Any, method: str
) -> None:
    sizes = Dimensions.of(tiny.config, max_seq_len=32, max_codec_frames=4)
    loaded, lean = EagerModel(load_model(tiny, max_seq_len=32)), EagerModel(mapped)
    for case in edge_cases(method, sizes):
        loaded.reset()
        lean.reset()
        for call in case.calls:
            (expected,) = loaded.call(method, call)
            (got,) = lean.call(method, call)
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)


def test_matrices_outside_the_codec_keep_two_bytes_a_weight(mapped: Any) -> None:
    wide = [
        name
        for part in (mapped.decoder, mapped.flow_head, mapped.audio_token_embedding)
        for name, weight in part.named_parameters()
        if weight.ndim == 2 and weight.dtype != torch.bfloat16
    ]
    assert wide == []


def test_the_codec_is_loaded_whole(tiny_model: Any, mapped: Any) -> None:
    expected = dict(tiny_model.codec_decoder.named_parameters())
    found = dict(mapped.codec_decoder.named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_in_bfloat16_a_mapped_model_is_an_ordinary_one(tiny: Checkpoint) -> None:
    model = load_model(tiny, max_seq_len=8, dtype="bfloat16", mapped=True)
    assert type(model.decoder.layers[0].attention.wq) is torch.nn.Linear


def test_the_loader_is_itself_again_afterwards(tiny: Checkpoint) -> None:
    load_model(tiny, max_seq_len=8, mapped=True)
    model = load_model(tiny, max_seq_len=8)
    assert model.decoder.tok_embeddings.weight.dtype == torch.float32
