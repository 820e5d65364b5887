"""Bugs that really happened to this model, put into the export: every one is seen.

FACTS: upstream's gate, cosine above 0.998, passes a codec whose ALiBi slopes are off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.examples.models.voxtral_tts import export_voxtral_tts

from fixtures.exports import Line
from harness.compare import Status, Verdict
from harness.export import codec, modules
from harness.export.lower import lower_to_mlx
from harness.export.programs import PROGRAMS
from harness.methods import select_methods
from harness.runtime.portable import PortableExecutor

Patch = pytest.MonkeyPatch


def judged(name: str, tiny_line: Line, path: Path, **options: object) -> Verdict:
    """Export one method as the code now stands, and judge it on the recorded speech."""
    (method,) = select_methods([name])
    program = PROGRAMS[name](tiny_line.model, tiny_line.sizes, **options)
    lower_to_mlx({method.entry: program}, {}, path)
    executor = PortableExecutor()
    executor.load(path)
    return tiny_line.judged_on(executor, name)


def split_half_rope(patch: Patch) -> None:
    def rope(self, x: torch.Tensor, start: int) -> torch.Tensor:
        return torch.ops.mlx.rope(x, self.head_dim, start, False, self.rope_theta, 1.0, None)

    patch.setattr(modules._Attention, "_rope", rope)


def no_causal_mask(patch: Patch) -> None:
    def attend(self, q, keys, values, start: int) -> torch.Tensor:
        return torch.ops.mlx.custom_sdpa(q, keys, values, start, None, 0.0, False, None)

    patch.setattr(modules._Attention, "_attend", attend)


def position_shifted(patch: Patch) -> None:
    forward = modules._Attention._rope
    patch.setattr(modules._Attention, "_rope", lambda self, x, start: forward(self, x, start + 1))


def keys_and_values_swapped(patch: Patch) -> None:
    attend = modules._Attention._attend
    patch.setattr(
        modules._Attention, "_attend", lambda self, q, k, v, start: attend(self, q, v, k, start)
    )


def no_time_embedding(patch: Patch) -> None:
    wrapper = export_voxtral_tts.PredictVelocityExport
    forward = wrapper.forward
    patch.setattr(wrapper, "forward", lambda self, x, t, h: forward(self, x, t * 0, h))


def end_masked(patch: Patch) -> None:
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = self.flow_head.semantic_logits(hidden)
        logits[:, 1] = float("-inf")
        return logits

    patch.setattr(export_voxtral_tts.SemanticHeadExport, "forward", forward)


def patch_outer(patch: Patch) -> None:
    forward = codec.CodecDecoder.forward

    def transposed(self, codes: torch.Tensor) -> torch.Tensor:
        y = forward(self, codes)
        return y.reshape(1, -1, 240).transpose(1, 2).reshape(y.shape)

    patch.setattr(codec.CodecDecoder, "forward", transposed)


def special_offset_kept(patch: Patch) -> None:
    forward = codec.CodecDecoder.forward
    patch.setattr(
        codec.CodecDecoder, "forward", lambda self, codes: forward(self, (codes + 1).clamp(max=22))
    )


def slopes_by(power: int) -> Callable[[Patch], None]:
    def install(patch: Patch) -> None:
        init = codec.CodecDecoder.__init__

        def scaled(self, model, form="conv") -> None:
            init(self, model, form)
            for module in self.modules():
                if hasattr(module, "alibi_slopes"):
                    slopes = module.alibi_slopes
                    step = slopes[1] / slopes[0]
                    module.register_buffer("alibi_slopes", slopes * step**power, persistent=False)

        patch.setattr(codec.CodecDecoder, "__init__", scaled)

    return install


def no_slopes_in_the_last_stage(patch: Patch) -> None:
    init = codec.CodecDecoder.__init__

    def flat(self, model, form="conv") -> None:
        init(self, model, form)
        biased = [module for module in self.modules() if hasattr(module, "alibi_slopes")]
        for module in biased[-2:]:  # a stage has two layers
            slopes = torch.zeros_like(module.alibi_slopes)
            module.register_buffer("alibi_slopes", slopes, persistent=False)

    patch.setattr(codec.CodecDecoder, "__init__", flat)


def slow(name: str, mutate: Callable[[Patch], None]) -> Any:
    return pytest.param(name, mutate, marks=pytest.mark.slow)


MUTANTS = [
    ("text_decoder", split_half_rope),
    slow("text_decoder", no_causal_mask),
    slow("text_decoder", keys_and_values_swapped),
    slow("predict_velocity", no_time_embedding),
    slow("semantic_head", end_masked),
    slow("codec", patch_outer),
    slow("codec", special_offset_kept),
    slow("codec", slopes_by(1)),
]


@pytest.mark.parametrize(("name", "mutate"), MUTANTS)
def test_mutant_is_caught(
    name: str, mutate: Callable[[Patch], None], tiny_line: Line, monkeypatch: Patch, tmp_path: Path
) -> None:
    assert tiny_line.evidence  # eager first, unmutated
    mutate(monkeypatch)

    assert judged(name, tiny_line, tmp_path / "mutant.pte").status is Status.FAIL


def test_a_last_stage_without_alibi_is_caught_in_bf16(
    parity_in: Callable[[str], Line], monkeypatch: Patch, tmp_path: Path
) -> None:
    """FINDINGS 57: it was within what bf16 was allowed."""
    line = parity_in("bf16")
    assert line.evidence
    no_slopes_in_the_last_stage(monkeypatch)

    assert judged("codec", line, tmp_path / "mutant.pte").status is Status.FAIL


@pytest.mark.slow
def test_a_relative_position_shift_is_no_mutant(
    tiny_line: Line, monkeypatch: Patch, tmp_path: Path
) -> None:
    """RoPE depends on differences only: shifting every position alike must not cry wolf."""
    position_shifted(monkeypatch)

    assert judged("text_decoder", tiny_line, tmp_path / "shifted.pte").status is Status.PASS


@pytest.mark.slow
def test_cosine_above_0_9_passes_wrong_slopes(
    tiny_line: Line, monkeypatch: Patch, tmp_path: Path
) -> None:
    slopes_by(-1)(monkeypatch)
    verdict = judged("codec", tiny_line, tmp_path / "mutant.pte")

    assert verdict.status is Status.FAIL
    assert 0.9 < verdict.metrics["cosine"] < 1 - 1e-4


@pytest.mark.slow
def test_the_other_form_of_the_codec_passes(tiny_line: Line, tmp_path: Path) -> None:
    assert judged("codec", tiny_line, tmp_path / "codec.pte", form="unfold").status is Status.PASS
