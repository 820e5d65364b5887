"""The modules that are exported equal upstream's own, before any lowering."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.checkpoint import Checkpoint
from harness.errors import InputError
from harness.export.codec import CodecDecoder, _overlap_add
from harness.export.modules import TextDecoder
from harness.reference.eager import EagerModel
from harness.upstream import enable_mlx_exporter


def scaled_difference(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


def test_text_decoder_equals_upstream_over_prefill_and_steps(tiny_model) -> None:
    enable_mlx_exporter()
    import executorch.backends.mlx.custom_ops  # noqa: F401

    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 12, 256)).astype(np.float32))
    decoder = TextDecoder(tiny_model)
    with torch.no_grad():
        parts = [decoder(x[:, a:b], torch.arange(a, b)) for a, b in [(0, 7), (7, 11), (11, 12)]]

    (theirs,) = EagerModel(tiny_model).call("text_decoder", [x.numpy(), np.arange(12)])
    assert scaled_difference(torch.cat(parts, 1), theirs) < 3e-6  # measured 1e-6


@pytest.mark.parametrize("form", ["conv", "unfold"])
def test_both_forms_of_the_codec_equal_upstream(form: str, tiny_model) -> None:
    codes = np.random.default_rng(0).integers(2, 23, size=(1, 37, 9))
    with torch.no_grad():
        ours = CodecDecoder(tiny_model, form)(torch.from_numpy(codes))

    (theirs,) = EagerModel(tiny_model).call("codec", [codes])
    assert scaled_difference(ours, theirs) < 5e-6  # measured 1e-6 and 0


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 2), (3, 3), (3, 1), (2, 3)])
def test_overlap_add_is_a_transposed_convolution(kernel: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 6, generator=generator)
    weight = torch.randn(3, 5, kernel, generator=generator)

    torch.testing.assert_close(
        _overlap_add(x, weight, stride), F.conv_transpose1d(x, weight, stride=stride)
    )


def test_the_codec_module_shares_weights_and_leaves_the_model_alone(tiny_model) -> None:
    before = copy.copy(tiny_model.codec_decoder.decoder_blocks._modules)

    ours = CodecDecoder(tiny_model)

    assert tiny_model.codec_decoder.decoder_blocks._modules == before
    assert tiny_model.codec_decoder.quantizer.semantic_codebook._embedding is not None
    theirs = {id(parameter) for parameter in tiny_model.codec_decoder.parameters()}
    assert {id(parameter) for parameter in ours.parameters()} == theirs


def test_an_unknown_form_is_refused(tiny: Checkpoint, tiny_model) -> None:
    with pytest.raises(InputError, match=r"conv, unfold \(got 'fold'\)"):
        CodecDecoder(tiny_model, "fold")
