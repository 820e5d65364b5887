"""What implementations dispute: who says what, and that eager then does it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.command_line import typed
from fixtures.exports import Line
from harness.errors import InputError
from harness.reference.disputed import _slopes, codec_under
from harness.reference.eager import EagerModel
from harness.reference.semantics import DISPUTES, EXECUTORCH, SEMANTICS, find_semantics
from harness.synthesis import Utterance

WINDOW = 3
"""Steps of the first stage's window in `lone_stage`."""


def told(field: str) -> str:
    (dispute,) = (dispute for dispute in DISPUTES if dispute.field == field)
    return dispute.source(EXECUTORCH)


def test_who_agrees_with_whom() -> None:
    assert told("alibi").startswith("ExecuTorch, voxtral-tts.c, mlx-audio; vLLM-Omni: 2^(−8h/n)")
    assert told("window") == "ExecuTorch, vLLM-Omni, mlx-audio; voxtral-tts.c: W positions"
    assert told("padding").startswith("ExecuTorch, vLLM-Omni, mlx-audio; voxtral-tts.c: ")
    assert told("specials") == "ExecuTorch, voxtral-tts.c; vLLM-Omni, mlx-audio: → −2 and −1"
    assert told("seed_step").startswith("ExecuTorch, voxtral-tts.c; vLLM-Omni, mlx-audio: none")
    assert "0.5.0" in told("seed_step")
    assert told("rounding") == "ExecuTorch, voxtral-tts.c; vLLM-Omni, mlx-audio: half to even"
    assert "mlx-audio: numbers and markup put into words first" in told("text")


def test_every_field_is_a_dispute_with_words_for_every_choice() -> None:
    fields = {field.name for field in dataclasses.fields(EXECUTORCH)} - {"name", "title"}
    assert {dispute.field for dispute in DISPUTES} == fields
    for dispute in DISPUTES:
        chosen = {getattr(semantics, dispute.field) for semantics in SEMANTICS.values()}
        assert chosen == set(dispute.words), dispute.name


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"semantics must be one of executorch, .*did you mean"):
        find_semantics("vllm")


def test_an_utterance_is_said_as_the_implementation_would() -> None:
    asked = Utterance(seed_step=False)
    assert EXECUTORCH.spoken(asked) == asked
    said = SEMANTICS["vllm-omni"].spoken(Utterance())
    assert (said.seed_step, said.rounding) == (False, "half-even")


def test_slopes_are_upstreams_but_for_the_power() -> None:
    from executorch.examples.models.voxtral_tts import model as upstream

    for heads in (4, 8, 12):
        assert torch.allclose(_slopes(heads, 1).float(), upstream._get_alibi_slopes(heads))
    assert _slopes(8, 0).tolist() == [2.0**-h for h in range(8)]
    assert _slopes(6, 0).tolist() == [1, 1 / 4, 1 / 16, 1 / 64, 1, 1 / 4]


@pytest.fixture
def lone_stage(tiny_model: Any) -> Any:
    """The codec's first attention layer, of `WINDOW` steps, without ALiBi; sees one channel."""
    from harness.checkpoint.loading import around_the_same_weights

    codec = around_the_same_weights(tiny_model.codec_decoder)
    layer = codec.decoder_blocks[1].layers["0"].attention
    layer.sliding_window = WINDOW
    layer.alibi_slopes = torch.zeros_like(layer.alibi_slopes)
    return codec


@pytest.mark.parametrize(("window", "seen"), [(1, WINDOW + 1), (0, WINDOW)])
def test_the_window_takes_as_many_positions(lone_stage: Any, window: int, seen: int) -> None:
    semantics = dataclasses.replace(EXECUTORCH, window=window)
    layer = codec_under(lone_stage, semantics).decoder_blocks[1].layers["0"].attention
    x = torch.randn(1, 12, 128, generator=torch.Generator().manual_seed(1))
    before = layer(x)[0, 8]
    moving = []
    for step in range(12):
        changed = x.clone()
        changed[0, step] += 1
        if not torch.equal(layer(changed)[0, 8], before):
            moving.append(step)
    assert moving == list(range(9 - seen, 9))


def test_reflection_takes_the_second_and_third_frame(tiny_model: Any) -> None:
    codec = tiny_model.codec_decoder
    x = torch.randn(1, 100, 5, generator=torch.Generator().manual_seed(2))
    reflected = codec_under(codec, SEMANTICS["voxtral-tts.c"]).decoder_blocks[0]
    ahead = torch.cat([x[..., [2, 1]], x], dim=-1)
    weight = codec.decoder_blocks[0].conv.weight
    assert torch.allclose(reflected(x), torch.conv1d(ahead, weight), atol=1e-5)


def test_special_codes_are_kept(tiny_model: Any) -> None:
    kept = codec_under(tiny_model.codec_decoder, SEMANTICS["mlx-audio"])
    seen: list[torch.Tensor] = []
    kept.decoder_blocks[0].register_forward_hook(lambda _, x, y: seen.append(x[0]))
    codes = torch.full((1, 37, 2), 5)
    codes[:, :, 1] = torch.tensor([0, 1] * 18 + [0])
    kept.forward(codes)
    (latent,) = seen
    assert latent[0, -36:, 0].tolist() == pytest.approx([-0.7] * 36)
    assert latent[0, -36:, 1].tolist() == pytest.approx([-1.1, -1.2] * 18)
    table = tiny_model.codec_decoder.quantizer.semantic_codebook.embedding
    assert torch.equal(latent[0, :-36, 1], table[-2])


@pytest.mark.parametrize("name", ["vllm-omni", "voxtral-tts.c", "mlx-audio"])
def test_the_model_itself_stays_as_it_was(tiny_model: Any, name: str) -> None:
    codes = np.zeros((1, 37, 6), np.int64)
    (before,) = EagerModel(tiny_model).call("codec", [codes])
    (other,) = EagerModel(tiny_model, SEMANTICS[name]).call("codec", [codes])
    (after,) = EagerModel(tiny_model).call("codec", [codes])
    assert np.array_equal(before, after)
    assert np.abs(other - before).max() > 0.01


def test_a_disputed_choice_is_red_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_line: Line
) -> None:
    assert tiny_line.artifacts.whole
    assert typed(monkeypatch, "check", "codec", "--semantics", "vllm-omni") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "Eager follows vLLM-Omni here: ALiBi slopes: 2^(−8h/n) (exported: 2^(−8(h+1)/n))" in out


def test_a_typo_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "check", "--semantics", "mlx") == 2
    assert "semantics must be one of executorch, vllm-omni" in capfd.readouterr().err
